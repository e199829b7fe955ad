"""``delineate reviews``: what came back, what was changed, and a reader's grade written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from reviewed_structures import reviewed, write_down
from typer.testing import CliRunner

from service.backlog.audit import AuditTrail, Deed
from service.backlog.ledger import Ledger, LedgerRefused
from service.backlog.review_records import SliceMeasures
from service.command_line.reviews import app

CONFIG = """
node: {storage: ./var, timezone: Europe/Stockholm}
senders: {SCANNER: }
destinations: {eclipse: {ae_title: ECLIPSE, host: 127.0.0.1, port: 11113}}
protocols: {external: {model: external@1.0, structures: {External: }}}
routes: [{name: all, when: {Modality: CT}, contour: external, send_to: [eclipse], mode: send}]
"""
SLICES = (SliceMeasures(-402.5, 0.0, 0.0, "removed"), SliceMeasures(-400.0, 0.9, 12.0, "edited"))


@pytest.fixture
def ledger(tmp_path: Path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    opened = Ledger(f"sqlite:///{tmp_path / 'var' / 'delineate.sqlite'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def run(tmp_path: Path, ledger: Ledger):
    def command(*words: object) -> str:
        done = CliRunner().invoke(
            app, ["reviews", *map(str, words), "--config", str(tmp_path / "config.yaml")]
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return command


@pytest.fixture
def rows(ledger: Ledger) -> list[int]:
    absent = reviewed(
        "Rectum", number=7, job_id="k7m29xqd", code="review.absent", sentence="It is not there."
    )
    absent = replace(absent, measures={}, estimated_grade=None, their_name=None, matched_by=None)
    bladder = reviewed("Bladder", number=7, job_id="k7m29xqd", dsc=0.875, estimated_grade="minor")
    return write_down(ledger, [bladder, absent], SLICES)


def test_before_anything_came(run):
    assert "No structure set" in run("list")
    assert json.loads(run("list", "--json")) == []


def test_a_list_names_sets_and_what_was_measured(run, rows):
    [row] = json.loads(run("list", "--json"))
    assert (row["id"], row["jobs"], row["measured"], row["structures"]) == (1, ["k7m29xqd"], 1, 2)
    assert row["received_at"].startswith("2025-10-09T10:53:20")
    assert "1 of 2" in run("list")
    assert json.loads(run("list", "--job", "k7m29xqd", "--json")) == [row]
    assert json.loads(run("list", "--job", "other", "--json")) == []


def test_a_set_is_shown_structure_by_structure_and_slice_by_slice(run, rows):
    text = run("show", 1)
    assert "0.875" in text
    assert "Rectum: It is not there." in text
    document = json.loads(run("show", 1, "--json"))
    assert [each["structure"] for each in document["reviewed"]] == ["Bladder", "Rectum"]
    assert document["reviewed"][0]["measures"]["dsc"] == 0.875
    assert "-402.5" in run("show", 1, "--slices", rows[0])
    assert [each["state"] for each in json.loads(run("show", 1, "--slices", rows[0], "--json"))] == [
        "removed",
        "edited",
    ]


def test_a_grade_is_written_down_with_who_gave_it(run, rows, ledger):
    assert "Bladder of job k7m29xqd: major. Estimated minor." in run(
        "grade", rows[0], "major", "--by", "anna"
    )
    run("grade", rows[0], "acceptable", "--by", "anna", "--slice", "-400")
    assert ledger.reviewed_structure(rows[0]).reader_grade == "major"
    grades = [(each.grade, each.reader, each.slice_position_mm) for each in ledger.reader_grades(rows[0])]
    assert grades == [("major", "anna", None), ("acceptable", "anna", -400.0)]
    trail = AuditTrail(ledger).entries()
    assert [(each.code, each.who, each.deed) for each in trail] == [("job.graded", "anna", Deed.CHANGED)] * 2


def test_what_is_not_there_is_refused(run, rows):
    for words in (
        ("show", 99),
        ("grade", 99, "minor"),
        ("grade", rows[0], "fine"),
        ("show", 1, "--slices", 99),
    ):
        with pytest.raises(LedgerRefused):
            run(*words)
