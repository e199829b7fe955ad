"""The worklist and the case as they are answered; in a browser they are tested in ``tests/browser``."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from models.volume import Finding, Provenance, Severity
from service.backlog import ledger_tables as tables
from service.backlog.audit import Deed
from service.backlog.contouring_progress import told_in
from service.backlog.records import JobState, SeriesState
from service.backlog.spool import Spool

EVERYTHING = {"state": "", "sender": "", "protocol": "", "text": "", "since": "", "until": ""}


def text_of(answer) -> str:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def get(desk, path: str, role: str = "reader", **headers: str):
    return desk.client.get(path, headers=desk.as_(role) | headers)


def rows(desk, role: str = "reader", **wanted: str) -> list[str]:
    answer = desk.client.post("/worklist", json=EVERYTHING | wanted, headers=desk.as_(role))
    return re.findall(r'<tr id="row-([^"]+)"', text_of(answer))


def test_who_is_not_signed_in_is_led_to_the_door(desk):
    for path in ("/", "/case/abc", "/series/1"):
        answer = desk.client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert 'name="password"' in text_of(desk.client.get("/sign-in"))
    assert desk.client.get("/events", follow_redirects=False).status_code == 303
    assert desk.client.post("/worklist", json=EVERYTHING).json()["code"] == "console.not-signed-in"


def test_every_ct_has_a_row_with_what_people_ask_for(desk):
    job = desk.delivered_job().id
    desk.series("2.25.3", SeriesState.REFUSED, "series.hole")
    page = text_of(get(desk, "/"))
    for said in ("4711", "Lindqvist Åsa", "Pelvis", "SCANNER", "external", "eclipse", "delivered", "Done",
                 "structures: 1", "warnings: 1", "Refused", "A sentence that says why.", "series.hole"):  # fmt: skip
        assert said in page, said
    assert f'href="/case/{job}"' in page


@pytest.mark.parametrize(
    ("wanted", "count"),
    [({}, 3), ({"text": "4711"}, 3), ({"text": "lindq"}, 3), ({"text": "%"}, 0), ({"text": "4712"}, 0),
     ({"state": "done"}, 1), ({"state": "refused"}, 1), ({"sender": "SCANNER"}, 3), ({"sender": "OTHER"}, 0),
     ({"protocol": "external"}, 2), ({"since": "2026-01-02", "protocol": ""}, 2), ({"until": "2026-01-01"}, 1)],
)  # fmt: skip
def test_a_filter_finds_what_matches_everything(desk, wanted, count):
    desk.delivered_job()
    desk.job("2.25.2")
    desk.series("2.25.3", SeriesState.REFUSED, "series.hole")
    assert len([row for row in rows(desk, **wanted) if row != "none"]) == count


def test_a_patient_never_stands_in_an_address_or_a_title(desk):
    job = desk.delivered_job().id
    row = desk.series("2.25.3", SeriesState.REFUSED, "series.hole")
    for path in ("/", f"/case/{job}", f"/series/{row}"):
        page = text_of(get(desk, path))
        title = re.search(r"<title>(.*?)</title>", page)[1]
        places = [title, *re.findall(r'(?:href|src|action|id)="([^"]*)"', page)]
        assert not [each for each in places if "Lindqvist" in each or "4711" in each]


def test_a_reader_is_shown_no_buttons_and_an_operator_those_of_the_state(desk):
    queued, done = desk.job().id, desk.delivered_job("2.25.2").id
    shown = {role: re.findall(r'id="(\w+)-(\w+)" class="deed', text_of(get(desk, "/", role)))
             for role in ("reader", "operator")}  # fmt: skip
    assert shown["reader"] == []
    assert set(shown["operator"]) == {
        ("first", queued), ("priority", queued), ("hold", queued), ("cancel", queued), ("resend", done),
    }  # fmt: skip


@pytest.mark.parametrize("state", list(JobState))
def test_what_a_button_offers_is_possible(desk, state):
    from service.console.pages.deeds import possible_deeds

    job = desk.delivered_job()
    with desk.ledger.begin() as conn:
        from service.backlog import ledger_tables as tables

        conn.execute(tables.job.update().where(tables.job.c.id == job.id).values(state=state.value))
    for deed in set(possible_deeds(state.value)) - {"resend"}:
        orders = deed in ("first", "priority")
        body = {"priority": 1} if orders else None
        method, path = ("PUT", "priority") if orders else ("POST", deed)
        answer = desk.client.request(
            method, f"/api/v1/jobs/{job.id}/{path}", json=body, headers=desk.as_("operator")
        )
        if state is JobState.QUEUED and orders:
            assert answer.status_code in (200, 409)  # its row of the engine has been taken
        else:
            assert answer.status_code == 200, (state, deed, answer.text)
        with desk.ledger.begin() as conn:
            conn.execute(tables.job.update().where(tables.job.c.id == job.id).values(state=state.value))


def test_the_case_tells_everything_with_dimse_status(desk):
    job = desk.delivered_job().id
    page = text_of(get(desk, f"/case/{job}"))
    for said in ("Not for clinical review: approve in the TPS.", "0xA700", "0x0000", "Bladder", "123.4",
                 "Cut off at the top.", "pelvis-ct@2.0", "not validated", f'data-job="{job}"'):  # fmt: skip
        assert said in page, said


def test_a_structure_set_is_downloaded_and_that_is_written_down(desk):
    job = desk.delivered_job().id
    answer = get(desk, f"/case/{job}/structure-set")
    assert (answer.content, answer.headers["content-type"]) == (b"RT", "application/dicom")
    assert f'filename="rtstruct-{job}.dcm"' in answer.headers["content-disposition"]
    looked = [(e.code, e.job_id) for e in desk.premises.audit.entries() if e.deed is Deed.LOOKED]
    assert looked == [("looked.structure-set", job)]
    waiting = desk.job("2.25.2").id
    assert get(desk, f"/case/{waiting}/structure-set").status_code == 404


def test_a_look_is_written_down_once_and_a_search_with_whom_it_found(desk):
    job = desk.job().id
    for _ in range(3):
        get(desk, "/")
        rows(desk)
        rows(desk, text="4711")
        get(desk, f"/case/{job}")
    looks = [(e.code, e.facts.get("jobs"), e.job_id) for e in desk.premises.audit.entries()
             if e.deed is Deed.LOOKED]  # fmt: skip
    assert looks == [("looked.list", None, None), ("looked.list", [job], None), ("looked.job", None, job)]


def test_what_is_not_there_is_answered_with_a_page_that_says_so(desk):
    answer = get(desk, "/case/zzzzzzzz")
    assert answer.status_code == 404
    assert "The ledger holds no such job." in answer.text


def test_a_page_keeps_to_the_policy_without_inline_script_or_style(desk):
    job = desk.delivered_job().id
    for path in ("/sign-in", "/", f"/case/{job}"):
        page = get(desk, path).text if path != "/sign-in" else desk.client.get(path).text
        assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son\w+=|javascript:", page), path


def test_structures_have_colour_volume_and_extent_under_the_name_that_is_sent(desk, tmp_path):
    from types import SimpleNamespace

    from pydicom import Dataset

    from service.config.protocol import Protocol
    from service.console.pages.structures import structures_of
    from service.dicom.ct_writer import write_instance

    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", "2.25.7"
    roi, drawn, observed = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "Rektum", "1.2"
    drawn.ReferencedROINumber, drawn.ROIDisplayColor = 1, [139, 69, 19]
    drawn.ContourSequence = []
    for z_mm in (-3.0, 0.0, 3.0, 3.0):
        contour = Dataset()
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 3
        contour.ContourData = [0, 0, z_mm, 10, 0, z_mm, 0, 10, z_mm]
        drawn.ContourSequence.append(contour)
    observed.ObservationNumber, observed.ReferencedROINumber, observed.RTROIInterpretedType = 1, 1, "ORGAN"
    ds.StructureSetROISequence, ds.ROIContourSequence = [roi], [drawn]
    ds.RTROIObservationsSequence = [observed]
    write_instance(tmp_path / "set.dcm", ds)
    protocol = Protocol.model_validate(
        {"model": "pelvis-ct@2.0", "structures": {"Rectum": {"name": "Rektum"}}}
    )
    (found,) = structures_of(SimpleNamespace(volumes_cm3={"Rectum": 55.5}), tmp_path / "set.dcm", protocol)
    assert (found.name, found.color, found.volume_cm3) == ("Rektum", "#8b4513", 55.5)
    assert (found.slices, found.from_mm, found.to_mm) == (3, -3.0, 3.0)


def test_how_far_contouring_is_stands_in_the_list_and_in_the_case(desk):
    """The model's own word; without one the time so far against the median; without that the time alone."""
    job = desk.job()
    with desk.ledger.begin() as conn:
        job = desk.ledger.move_job(conn, job.id, JobState.CONTOURING)

    def bars() -> set[str]:
        pages = (text_of(get(desk, "/")), text_of(get(desk, f"/case/{job.id}")))
        return {
            re.search(r"<progress([^>]*)>", page)[1].replace(' aria-label="Contouring"', "") for page in pages
        }

    assert bars() == {""}
    earlier = desk.delivered_job("2.25.2")
    t = tables.job
    with desk.ledger.begin() as conn:
        begun = sa.select(tables.event.c.at).where(
            tables.event.c.job_id == earlier.id, tables.event.c.code == "job.contouring"
        )
        at = conn.execute(begun).scalar_one() + 3600.0
        conn.execute(sa.update(t).where(t.c.id == earlier.id).values(contoured_at=at))
    assert all(each.startswith(' max="3600.0" value="') for each in bars())
    folder = Spool(desk.premises.storage).job_folder(job.id)
    with told_in(folder, job.run) as tell:
        tell(0.425)
        assert bars() == {' max="1" value="0.425"'}
        assert "42 % in" in text_of(get(desk, "/"))  # 42.5 is rounded to even
    with told_in(folder, job.run - 1) as tell:  # left by a worker that was ended
        tell(0.9)
        assert all(each.startswith(' max="3600.0"') for each in bars())


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["Holds the set", "Left out", "Note", "Waits for a person to look at it: Two share 4 cm3."]),
        ("zh", ["暂停发送", "未包含", "提示", "结构集在等待人工查看", "位于身体的另一侧"]),
    ],
)
def test_a_case_that_findings_hold_says_why_and_can_be_released(desk, language, said):
    job = desk.job()
    findings = [
        Finding("structure.not-found", "No Colon.", "Colon", Severity.NOTE),
        Finding("structure.overlap", "Two share 4 cm3.", "Bladder", Severity.HOLD),
        Finding("structure.wrong-side", "It is on the other side.", "Femur_Head_L", Severity.STOP),
    ]
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, job.id, JobState.CONTOURING)
        made = Provenance("pelvis-ct", "2.0", "ab" * 32, validated=False)
        desk.ledger.record_segmentation(conn, job.id, made, findings, {"Bladder": 123.4}, {})
        why = "Waits for a person to look at it: Two share 4 cm3."
        desk.ledger.move_job(conn, job.id, JobState.HELD, code="job.held-for-findings", sentence=why)
    page = text_of(get(desk, f"/case/{job.id}", "operator", **{"Accept-Language": language}))
    for each in said:
        assert each in page, each
    order = [page.index(f'<code class="quiet">{each.code}</code>') for each in reversed(findings)]
    assert order == sorted(order)  # the strictest first
    assert f'id="release-{job.id}"' in page
    answer = desk.client.post(f"/api/v1/jobs/{job.id}/release", headers=desk.as_("operator"))
    assert answer.status_code == 200, answer.text
