"""What supervisors and Prometheus are told."""

from __future__ import annotations

import os
import re
import socket

from prometheus_client.parser import text_string_to_metric_families

from service.backlog.records import SeriesState
from service.backlog.refusals import RefusalKeeper, Refusals
from service.console.graphics_cards import cards_of
from service.node.heartbeat import Heartbeat
from service.node.restarts import Starts


def metrics_of(desk) -> dict[tuple[str, ...], float]:
    """By name and the values of its labels, which are in the order of their names."""
    text = desk.client.get("/metrics", headers=desk.as_("reader")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_who_was_turned_away_is_counted_by_reason_and_by_the_configurations_senders(desk):
    refusals = Refusals()
    for title, sender in (("NOBODY", ""), ("ANYBODY", ""), ("CT1", "CT1")):
        refusals.add(
            "association", "association.limit-reached", address="10.1.1.1", title=title, sender=sender
        )
    refusals.add("instance", "instance.conflict", address="10.1.1.1", title="CT1", sender="CT1")
    RefusalKeeper(refusals, desk.premises.ledger, desk.premises.storage).keep(0.0)
    found = metrics_of(desk)
    assert found["delineate_refused_associations_total", "association.limit-reached", ""] == 2
    assert found["delineate_refused_associations_total", "association.limit-reached", "CT1"] == 1
    assert found["delineate_refused_instances_total", "instance.conflict", "CT1"] == 1
    assert not any("NOBODY" in part for key in found for part in key)


def test_health_answers_whoever_asks(desk):
    answer = desk.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_ready_names_each_process_that_is_not_there(desk):
    answer = desk.client.get("/ready")
    assert answer.status_code == 503
    wrong = {check["name"] for check in answer.json()["checks"] if not check["good"]}
    assert wrong == {"process arrival", "process work"}


def test_ready_once_arrival_and_work_give_signs_of_life(desk):
    with Heartbeat(desk.premises.storage, "arrival"), Heartbeat(desk.premises.storage, "work"):
        answer = None
        for _ in range(200):
            answer = desk.client.get("/ready")
            if answer.status_code == 200:
                break
        assert answer is not None
        assert answer.json()["ready"] is True
    assert desk.client.get("/ready").status_code == 503


def test_ready_by_processes_of_other_machines_and_not_by_silent_ones_here(desk):
    folder = desk.premises.storage / "alive"
    folder.mkdir()
    for name in ("receiver.hospital.example.arrival", "gpu-2.work-1"):
        (folder / name).touch()
    assert desk.client.get("/ready").status_code == 200
    silent = folder / f"{socket.gethostname()}.work"
    silent.touch()
    os.utime(silent, (0, 0))
    wrong = [check["name"] for check in desk.client.get("/ready").json()["checks"] if not check["good"]]
    assert wrong == ["process work of this machine"]


def test_not_ready_without_the_database_or_with_a_full_disk(desk):
    desk.premises.started_with.site.node.disk.__dict__["reserve_gb"] = 1e9
    (desk.premises.storage / "delineate.sqlite").write_bytes(b"no database" * 1000)
    desk.premises.ledger.close()
    wrong = {
        each["name"]: each["sentence"]
        for each in desk.client.get("/ready").json()["checks"]
        if not each["good"]
    }
    assert wrong["database"] == "The database does not answer."
    assert "no image is taken" in wrong["disk"]


def test_metrics_are_for_readers_unless_opened(desk):
    assert desk.client.get("/metrics").status_code == 401
    desk.premises.started_with.site.console.__dict__["open_metrics"] = True
    assert desk.client.get("/metrics").status_code == 200


def test_metrics_count_what_the_ledger_holds(desk):
    desk.delivered_job()
    desk.job("2.25.2")
    desk.series("2.25.3", SeriesState.REFUSED, "series.hole")
    Starts(desk.premises.storage).tell({"arrival": 1, "work": 3})
    found = metrics_of(desk)
    expected = {
        ("delineate_series", "routed"): 2,
        ("delineate_series", "refused"): 1,
        ("delineate_instances_received_total",): 3,
        ("delineate_jobs", "done"): 1,
        ("delineate_jobs", "queued"): 1,
        ("delineate_jobs", "held"): 0,
        ("delineate_refused", "series.hole", "series"): 1,
        ("delineate_deliveries", "eclipse", "delivered"): 1,
        ("delineate_attempts_total", "eclipse", "delivery.stored"): 1,
        ("delineate_attempts_total", "eclipse", "delivery.out-of-resources"): 1,
        ("delineate_queue_depth", "contour"): 1,
        ("delineate_queue_depth", "deliver"): 0,
        ("delineate_stage_seconds_count", "infer"): 1,
        ("delineate_stage_seconds_sum", "infer"): 2.5,
        ("delineate_restarts_total", "arrival"): 0,
        ("delineate_restarts_total", "work"): 2,
        ("delineate_disk_reserve_bytes",): 1e6,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["delineate_disk_free_bytes",] > 0
    assert 0 <= found["delineate_queue_age_seconds", "contour"] < 600


def test_metrics_name_no_patient_and_no_uid(desk):
    desk.delivered_job()
    text = desk.client.get("/metrics", headers=desk.as_("reader")).text
    assert "delineate_jobs" in text
    assert not re.search(r"4711|Lindqvist|1951|2\.25\.", text)


def test_the_cards_answer_is_read_and_nonsense_is_not():
    assert cards_of("0, 34, 1000, 81559, 41\n1, [N/A], 0, 81559, 40\nbroken\n") == [[0, 34, 1000, 81559, 41]]


def test_every_answer_carries_the_headers_that_protect_a_page(desk):
    for answer in (desk.client.get("/health"), desk.client.get("/nowhere"), desk.client.get("/metrics")):
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Strict-Transport-Security" not in answer.headers


def test_what_is_too_large_is_refused_before_it_is_read(desk):
    answer = desk.client.post("/health", content=b"x", headers={"Content-Length": "3000000"})
    assert (answer.status_code, answer.json()["code"]) == (413, "console.too-large")


def test_an_address_that_is_none_is_answered_in_the_same_form(desk):
    answer = desk.client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json() == {
        "code": "console.not-found",
        "sentence": "There is nothing at this address.",
        "details": [],
    }
