"""What the command line can do, over HTTP: who may do it, what it answers, and what the trail says of it."""

from __future__ import annotations

import pytest
from delivery_desk_tps import answering_tps

from service.backlog.audit import Deed
from service.backlog.records import DeliveryState, JobState, SeriesState

LOOKS = [
    ("GET", "/api/v1/status", "reader"),
    ("GET", "/api/v1/jobs", "reader"),
    ("POST", "/api/v1/jobs/search", "reader"),
    ("GET", "/api/v1/jobs/{job}", "reader"),
    ("GET", "/api/v1/jobs/{job}/ct", "reader"),
    ("GET", "/api/v1/jobs/{job}/ct/slices", "reader"),
    ("GET", "/api/v1/jobs/{job}/contours", "reader"),
    ("POST", "/api/v1/jobs/{job}/retry", "operator"),
    ("POST", "/api/v1/jobs/{job}/cancel", "operator"),
    ("POST", "/api/v1/jobs/{job}/hold", "operator"),
    ("POST", "/api/v1/jobs/{job}/release", "operator"),
    ("PUT", "/api/v1/jobs/{job}/priority", "operator"),
    ("POST", "/api/v1/jobs/{job}/resend", "operator"),
    ("POST", "/api/v1/series/{row}/trial", "operator"),
    ("GET", "/api/v1/destinations", "reader"),
    ("POST", "/api/v1/destinations/eclipse/echo", "operator"),
    ("GET", "/api/v1/senders", "reader"),
    ("GET", "/api/v1/models", "reader"),
    ("GET", "/api/v1/models/external@1.0", "reader"),
    ("GET", "/api/v1/quality", "reader"),
    ("PUT", "/api/v1/quality/reviews/{review}/grade", "operator"),
    ("POST", "/api/v1/quality/acknowledge", "operator"),
    ("GET", "/api/v1/configuration", "administrator"),
    ("POST", "/api/v1/configuration/check", "administrator"),
    ("GET", "/api/v1/users", "administrator"),
    ("POST", "/api/v1/users", "administrator"),
    ("PUT", "/api/v1/users/reader/role", "administrator"),
    ("DELETE", "/api/v1/users/reader", "administrator"),
    ("GET", "/api/v1/audit", "administrator"),
]
ROLES = ("reader", "operator", "administrator")


def get(desk, path: str, role: str = "reader", **options):
    return desk.client.get(path, headers=desk.as_(role), **options)


def post(desk, path: str, role: str = "operator", **options):
    return desk.client.post(path, headers=desk.as_(role), **options)


def entries(desk, deed: Deed) -> list:
    return [entry for entry in desk.premises.audit.entries() if entry.deed is deed]


def test_every_address_is_named_above(desk):
    documented = {
        (method.upper(), path.replace("{name}", "eclipse" if "destinations" in path else "reader"))
        for path, methods in desk.client.get("/api/v1/openapi.json").json()["paths"].items()
        for method in methods
        if path.startswith("/api/v1/") and not path.startswith("/api/v1/session")
    }
    expanded = {(m, p) for m, p, _ in LOOKS}
    for method, path in documented:
        filled = path.replace("{reference}", "external@1.0")
        choices = [filled] if "{action}" not in filled else [
            filled.replace("{action}", action) for action in ("retry", "cancel", "hold", "release")
        ]  # fmt: skip
        assert {(method, each) for each in choices} <= expanded, (method, path)


@pytest.mark.parametrize(("method", "path", "needed"), LOOKS)
def test_nobody_is_answered_without_an_account_nor_above_their_role(desk, method, path, needed):
    job = desk.job()
    path = path.format(job=job.id, row=job.series_id, review=1)
    assert desk.client.request(method, path).status_code == 401
    for role in ROLES[: ROLES.index(needed)]:
        answer = desk.client.request(method, path, headers=desk.as_(role))
        assert (answer.status_code, answer.json()["code"]) == (403, "console.not-allowed")


def test_a_job_is_listed_searched_and_told_whole(desk):
    job = desk.delivered_job().id
    other = desk.job("2.25.2").id
    desk.series("2.25.3", SeriesState.UNROUTED)
    listed = get(desk, "/api/v1/jobs").json()
    assert [each["job"] for each in listed["jobs"]] == [other, job]
    assert [each["state"] for each in listed["series_without_jobs"]] == ["unrouted"]
    assert listed["jobs"][0]["patient"]["patient_name"] == "Lindqvist^Åsa"
    story = get(desk, f"/api/v1/jobs/{job}").json()
    assert story["state"] == "done"
    assert story["volumes_cm3"] == {"Bladder": 123.4}
    assert story["findings"][0]["sentence"] == "Cut off at the top."
    (delivery,) = story["deliveries"]
    assert [(each["n"], each["status"]) for each in delivery["attempts"]] == [(1, 0xA700), (2, 0)]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ({"patient_id": "4711"}, 2),
        ({"patient_id": "471"}, 0),
        ({"text": "LINDQ"}, 2),
        ({"text": "%"}, 0),
        ({"states": ["done"]}, 1),
        ({"states": ["done", "queued"]}, 2),
        ({"sender": "SCANNER"}, 2),
        ({"sender": "OTHER"}, 0),
        ({"destination": "eclipse"}, 2),
        ({"destination": "eclip"}, 0),
        ({"protocol": "external", "states": ["queued"]}, 1),
        ({"before": 1.0}, 0),
        ({"since": 1.0}, 2),
        ({"limit": 1}, 1),
    ],
)
def test_a_search_finds_what_matches_everything(desk, search, found):
    desk.delivered_job()
    desk.job("2.25.2")
    assert len(post(desk, "/api/v1/jobs/search", "reader", json=search).json()["jobs"]) == found


def test_who_looked_at_whom_is_written_down(desk):
    job = desk.job().id
    for _ in range(3):
        get(desk, "/api/v1/jobs")
        post(desk, "/api/v1/jobs/search", "reader", json={"patient_id": "4711"})
    get(desk, f"/api/v1/jobs/{job}")
    get(desk, f"/api/v1/jobs/{job}", "operator")
    looks = [(e.code, e.who, e.job_id, e.facts.get("jobs")) for e in entries(desk, Deed.LOOKED)]
    assert looks == [
        ("looked.list", "console:reader", None, None),
        ("looked.list", "console:reader", None, [job]),
        ("looked.job", "console:reader", job, None),
        ("looked.job", "console:operator", job, None),
    ], "a page that asks every few seconds is one look"


def test_a_job_is_held_released_put_first_given_up_and_tried_again(desk):
    job = desk.job().id
    steps = (("hold", "held"), ("release", "queued"), ("cancel", "cancelled"), ("retry", "queued"))
    for action, state in steps:
        answer = post(desk, f"/api/v1/jobs/{job}/{action}")
        assert (answer.status_code, answer.json()) == (200, {"job": job, "state": state})
    put = desk.client.put(f"/api/v1/jobs/{job}/priority", json={"priority": 7}, headers=desk.as_("operator"))
    assert put.status_code == 200
    assert desk.ledger.job(job).priority == 7
    changed = [(e.code, e.who) for e in entries(desk, Deed.CHANGED) if e.job_id == job]
    assert [code for code, _ in changed] == [
        "job.held", "job.released", "job.cancelled", "job.retried", "job.changed",
    ]  # fmt: skip
    assert {who for _, who in changed} == {"console:operator"}


def test_what_is_not_possible_is_refused_with_code_and_sentence(desk):
    job = desk.delivered_job().id
    answer = post(desk, f"/api/v1/jobs/{job}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "job.not-possible")
    assert answer.json()["sentence"] == f"Job {job} is done; retry a failed, refused or cancelled one."
    assert get(desk, "/api/v1/jobs/zzzzzzzz").status_code == 404
    assert post(desk, f"/api/v1/jobs/{job}/explode").status_code == 422
    answer = post(desk, f"/api/v1/jobs/{job}/resend", json={"destination": "nowhere"})
    assert (answer.status_code, answer.json()["code"]) == (404, "delivery.no-such-destination")


def test_what_was_sent_to_us_is_not_in_the_answer_that_refuses_it(desk):
    secret = {"patient_id": ["CanaryName"], "limit": "CanaryLimit"}
    answer = post(desk, "/api/v1/jobs/search", "reader", json=secret)
    assert answer.status_code == 422
    assert answer.json()["details"] == ["body.patient_id: string_type", "body.limit: int_parsing"]
    assert "Canary" not in answer.text


def test_a_structure_set_is_sent_again(desk):
    job = desk.delivered_job().id
    answer = post(desk, f"/api/v1/jobs/{job}/resend", json={"destination": "eclipse"})
    assert answer.status_code == 200
    assert answer.json()["state"] == "waiting"
    assert desk.ledger.job(job).state is JobState.DELIVERING
    assert [each.state for each in desk.ledger.deliveries(job)] == [
        DeliveryState.DELIVERED, DeliveryState.WAITING,
    ]  # fmt: skip


def test_destinations_say_how_it_went_there_and_answer_an_echo(desk):
    desk.delivered_job()
    (eclipse,) = get(desk, "/api/v1/destinations").json()
    assert (eclipse["name"], eclipse["deliveries"], eclipse["last_code"]) == (
        "eclipse", {"delivered": 1}, "delivery.stored",
    )  # fmt: skip
    assert eclipse["last_success"].startswith("20")
    silent = post(desk, "/api/v1/destinations/eclipse/echo").json()
    assert (silent["answers"], silent["code"]) == (False, "delivery.no-connection")
    with answering_tps(desk):
        assert post(desk, "/api/v1/destinations/eclipse/echo").json()["answers"] is True
    said = [(e.code, e.succeeded) for e in entries(desk, Deed.CHANGED) if e.code.startswith("destination")]
    assert said == [("destination.echoed", False), ("destination.echoed", True)]
    assert post(desk, "/api/v1/destinations/nowhere/echo").status_code == 404


def test_senders_say_what_they_were_refused_for(desk):
    desk.series()
    desk.series("2.25.2", SeriesState.REFUSED, "series.hole")
    (scanner,) = get(desk, "/api/v1/senders").json()
    assert scanner == {
        "ae_title": "SCANNER", "configured": True, "addresses": ["127.0.0.1"],
        "series": {"routed": 1, "refused": 1}, "refused": {"series.hole": 1},
        "last": "2026-01-01T12:00:02.000+01:00",
    }  # fmt: skip


def test_the_configuration_is_shown_and_a_text_is_checked_and_not_used(desk):
    shown = get(desk, "/api/v1/configuration", "administrator").json()
    assert shown["text"] == (desk.folder / "config.yaml").read_text()
    assert shown["mistakes"] == []
    broken = shown["text"].replace("mode: send", "mode: sned")
    said = post(desk, "/api/v1/configuration/check", "administrator", json={"text": broken}).json()
    assert said["good"] is False
    assert said["mistakes"][0].startswith("config.yaml:7: ")
    good = post(desk, "/api/v1/configuration/check", "administrator", json={"text": shown["text"]}).json()
    assert good["good"] is True
    assert get(desk, "/api/v1/configuration", "administrator").json()["version"] == shown["version"]


def test_bundles_show_their_cards_and_that_they_are_intact(desk):
    known = {each["model"] for each in get(desk, "/api/v1/models").json()}
    assert {"external@1.0", "pelvis-ct@2.0"} <= known
    card = get(desk, "/api/v1/models/external@1.0").json()
    assert card["intact"] is True
    assert card["structures"] == ["External"]
    assert card["card"]["name"] == "external"
    answer = get(desk, "/api/v1/models/nothing@1.0")
    assert (answer.status_code, answer.json()["code"]) == (404, "console.no-such-model")


def test_status_says_what_the_command_says(desk):
    desk.job()
    status = get(desk, "/api/v1/status").json()
    assert status["jobs"] == {"queued": 1}
    assert status["engine"]["contour"]["enqueued"] == 1
    assert status["config_mistakes"] == []


def test_administrators_let_people_in_and_out_but_not_themselves(desk):
    new = {"name": "Bo", "role": "reader", "password": "correct horse battery"}
    assert post(desk, "/api/v1/users", "administrator", json=new).status_code == 201
    assert post(desk, "/api/v1/users", "administrator", json=new).status_code == 409
    headers = desk.as_("administrator")
    change = {"role": "operator"}
    assert desk.client.put("/api/v1/users/bo/role", json=change, headers=headers).status_code == 204
    people = {each["name"]: each["role"] for each in get(desk, "/api/v1/users", "administrator").json()}
    assert people["bo"] == "operator"
    assert desk.client.delete("/api/v1/users/bo", headers=headers).status_code == 204
    for answer in (
        desk.client.delete("/api/v1/users/administrator", headers=headers),
        desk.client.put("/api/v1/users/Administrator/role", json=change, headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "console.oneself")
    done = [
        (e.code, e.facts["account"], e.who) for e in entries(desk, Deed.PEOPLE) if e.facts["account"] == "bo"
    ]
    assert done == [
        ("account.added", "bo", "console:administrator"),
        ("account.role-changed", "bo", "console:administrator"),
        ("account.removed", "bo", "console:administrator"),
    ]


def test_the_trail_holds_what_came_what_went_and_who_read_it(desk):
    job = desk.delivered_job().id
    found = get(desk, "/api/v1/audit", "administrator").json()
    came = next(each for each in found if each["deed"] == "received")
    assert (came["who"], came["address"]) == ("SCANNER", "127.0.0.1")
    went = [
        (each["job"], each["succeeded"], each["facts"]["destination"])
        for each in found
        if each["deed"] == "sent"
    ]
    assert went == [(job, False, "eclipse"), (job, True, "eclipse")]
    again = get(desk, "/api/v1/audit?limit=2", "administrator").json()
    assert [each["deed"] for each in again][-1] == "audit-read"
    assert len(again) == 2
    assert get(desk, "/api/v1/audit?until=5", "administrator").json() == []
