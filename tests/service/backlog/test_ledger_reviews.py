"""Which review counts, who gave which grade, and what stays when a CT is forgotten; on either database."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from reviewed_structures import FIRST_AT, WEEK, new_structure, reviewed, write_down

from models.volume import Provenance
from service.backlog import ledger_tables, review_tables
from service.backlog.database import now
from service.backlog.ledger import LedgerRefused
from service.backlog.records import JobState
from service.backlog.review_records import GRADES, SliceMeasures

SLICES = (
    SliceMeasures(-3.0, 0.0, 0.0, "removed"),
    SliceMeasures(0.0, 1.0, 0.0, "untouched"),
    SliceMeasures(3.0, 0.5, 12.0, "edited"),
)


def test_a_database_of_version_3_gains_the_tables(ledger, new_job):
    job = new_job()
    with ledger.begin() as conn:
        for table in ("reader_grade", "reviewed_structure", "reviewed_set", "review_query"):
            review_tables.metadata.tables[table].drop(conn)
        conn.execute(sa.update(ledger_tables.ledger_version).values(version=3))
    ledger.migrate()
    assert ledger.job(job.id).id == job.id
    assert ledger.find_reviewed_structures() == []


def test_what_is_written_is_found_again_oldest_first(ledger):
    rows = [reviewed("Rectum", week=2, dsc=0.8), reviewed("Bladder", week=1, hd95_mm=3.5)]
    ids = write_down(ledger, rows)
    found = ledger.find_reviewed_structures()
    assert [each.id for each in found] == ids[::-1]
    assert [replace(each, id=0, set_id=0) for each in found] == [
        replace(r, id=0, set_id=0) for r in rows[::-1]
    ]


@pytest.mark.parametrize(
    ("wanted", "structures"),
    [
        ({"structure": "Rectum"}, ["Rectum"]),
        ({"since": FIRST_AT + WEEK}, ["Rectum", "Sacrum"]),
        ({"until": FIRST_AT + WEEK}, ["Bladder"]),
        ({"protocol": "brain"}, ["Sacrum"]),
        ({"model": "pelvis-ct@3.0"}, ["Rectum"]),
        ({"ct_sender": "GEMINI"}, ["Bladder"]),
        ({"is_shadow": True}, ["Sacrum"]),
        ({"is_shadow": False, "limit": 1}, ["Rectum"]),
        ({"job_id": "job00077"}, ["Rectum"]),
    ],
)
def test_each_condition_narrows(ledger, wanted, structures):
    write_down(
        ledger,
        [
            reviewed("Bladder", ct_sender="GEMINI"),
            reviewed("Rectum", week=1, model="pelvis-ct@3.0", job_id="job00077"),
            reviewed("Sacrum", week=2, protocol="brain", is_shadow=True),
        ],
    )
    assert [each.structure for each in ledger.find_reviewed_structures(**wanted)] == structures


def test_the_later_review_counts_and_both_are_kept_whatever_order_they_are_read_in(ledger):
    later, earlier = (reviewed(week=week, job_id="same", dsc=dsc) for week, dsc in ((2, 0.7), (1, 0.9)))
    write_down(ledger, [later, earlier])
    assert [each.measures["dsc"] for each in ledger.find_reviewed_structures()] == [0.7]
    every = ledger.find_reviewed_structures(with_superseded=True)
    assert [(each.measures["dsc"], each.superseded) for each in every] == [(0.9, True), (0.7, False)]


def test_a_later_set_without_the_structure_does_not_take_the_place_of_a_review_of_it(ledger):
    absent = reviewed(week=2, job_id="same", code="review.absent", sentence="It is not in the set.")
    absent = replace(absent, measures={}, their_name=None, matched_by=None, estimated_grade=None)
    write_down(ledger, [reviewed(week=1, job_id="same"), absent])
    assert [each.code for each in ledger.find_reviewed_structures()] == [None]


def test_a_set_is_written_down_once(ledger, storage):
    values = {
        "received_at": 5.0,
        "series_id": None,
        "sender": "TPS",
        "sha256": "ab",
        "file": storage / "x.dcm",
    }
    with ledger.begin() as conn:
        first = ledger.add_reviewed_set(conn, name="n", **values, code="review.other-ct", sentence="Other.")
    with ledger.begin() as conn:
        assert ledger.add_reviewed_set(conn, name="n", **values) is None
    assert first is not None
    assert ledger.reviewed_set(first).code == "review.other-ct"
    assert ledger.reviewed_file(first) == storage / "x.dcm"
    assert ledger.known_set_names() == {"n"}
    ledger.reviewed_file_gone(storage / "x.dcm")
    assert ledger.reviewed_file(first) is None


def test_sets_of_a_job_are_those_in_which_it_was_looked_for(ledger):
    write_down(ledger, [reviewed(week=2, job_id="a"), reviewed(week=1, job_id="a"), reviewed(job_id="b")])
    assert [each.received_at for each in ledger.reviewed_sets_of_job("a")] == [
        FIRST_AT + WEEK,
        FIRST_AT + 2 * WEEK,
    ]


def test_the_latest_grade_of_the_whole_counts_before_the_worst_of_single_slices(ledger):
    [number] = write_down(ledger, [reviewed()], SLICES)
    assert ledger.slice_measures(number) == list(SLICES)

    def give(grade: str, at: float | None = None) -> str | None:
        with ledger.begin() as conn:
            return ledger.grade(conn, number, grade, "anna", at).reader_grade

    assert give("major", 0.0) == "major"
    assert give("minor", 3.0) == "major"
    assert give("acceptable", 0.0) == "minor"  # another look at the same slice
    assert give("not-acceptable") == "not-acceptable"
    assert give("major", 3.0) == "not-acceptable"
    assert give("minor") == "minor"
    assert [(each.slice_position_mm, each.grade, each.reader) for each in ledger.reader_grades(number)][
        :2
    ] == [
        (0.0, "major", "anna"),
        (3.0, "minor", "anna"),
    ]


@pytest.mark.parametrize(
    ("number", "grade", "at", "code"),
    [
        (1, "good", None, "review.no-such-grade"),
        (1, "minor", 1.5, "review.no-such-slice"),
        (999, "minor", None, "review.unknown"),
    ],
)
def test_what_cannot_be_graded_is_refused(ledger, number, grade, at, code):
    [known] = write_down(ledger, [reviewed()], SLICES)
    with ledger.begin() as conn, pytest.raises(LedgerRefused) as refused:
        ledger.grade(conn, known if number == 1 else number, grade, "anna", at)
    assert refused.value.code == code
    assert ledger.reader_grades(known) == []


def test_grades_are_ordered_best_first():
    assert GRADES == ("acceptable", "minor", "major", "not-acceptable")


def test_what_has_come_is_not_asked_for_and_what_has_not_is_asked_for_again(ledger):
    with ledger.begin() as conn:
        ledger.add_reviewed_set(
            conn, name="came", received_at=1.0, series_id=None, sender="TPS", sha256="", file=None
        )
    assert ledger.record_query({"came", "new"}, "tps") == {"new"}
    assert ledger.record_query({"came", "new", "newer"}, "tps") == {"new", "newer"}
    assert ledger.was_queried("new")
    assert not ledger.was_queried("came")
    assert ledger.is_known_set("came")
    assert not ledger.is_known_set("new")


def test_what_is_compared_anew_replaces_what_was_found_before_and_keeps_row_and_grade(ledger):
    row = reviewed("Bladder", dsc=0.5, number=5)
    [number] = write_down(ledger, [row], SLICES)
    with ledger.begin() as conn:
        ledger.grade(conn, number, "minor", "anna")
        set_id = ledger.reviewed_sets()[0].id
        anew = new_structure(reviewed("Bladder", dsc=0.9, number=5), SLICES[:1])
        rectum = new_structure(reviewed("Rectum", number=5))
        ids = ledger.add_reviewed_structures(conn, set_id, [anew, rectum])
        ledger.change_reviewed_set(conn, set_id, series_id=7, code="review.uid-reused", sentence="Odd.")
    assert ids[0] == number
    found = {each.structure: each for each in ledger.find_reviewed_structures()}
    assert (found["Bladder"].measures["dsc"], found["Bladder"].reader_grade) == (0.9, "minor")
    assert set(found) == {"Bladder", "Rectum"}
    assert ledger.slice_measures(number) == [SLICES[0]]
    assert ledger.reviewed_set(set_id).code == "review.uid-reused"


def test_studies_that_were_contoured_are_asked_for_and_what_we_sent_is_known(ledger, new_job, storage):
    job, other = new_job(), new_job("2.25.2", protocol="brain")
    with ledger.begin() as conn:
        ledger.move_job(conn, job.id, JobState.CONTOURING)
        ledger.record_segmentation(conn, job.id, Provenance("m", "1.0", "", validated=True), [], {}, {})
        file = storage / "rtstruct.dcm"
        ledger.create_delivery(conn, job_id=job.id, destination="a", file=file, sop_instance_uid="2.25.8")
    assert ledger.job(other.id).contoured is False
    assert ledger.contoured_studies(0.0) == {"2.25.9": {"2.25.8"}}
    assert ledger.contoured_studies(now() + 1) == {}
    assert ledger.maker(job.id)[0] == "m@1.0"
