"""``delineate quality``: a table, a spreadsheet, a page, and a report to be signed."""

from __future__ import annotations

import csv
import getpass
import re

import pytest
from parsed_html import Parsed
from reviewed_cases import case_on_disk
from reviewed_structures import FIRST_AT, WEEK, reviewed, write_down
from typer.testing import CliRunner

from service.backlog.audit import AuditTrail
from service.backlog.ledger import Ledger
from service.command_line.quality import app

CONFIG = """
node: {storage: ./var, timezone: Europe/Stockholm}
senders: {SCANNER: }
destinations: {eclipse: {ae_title: ECLIPSE, host: 127.0.0.1, port: 11113}}
protocols: {pelvis: {model: pelvis-ct@2.0, allow_unvalidated: true, structures: {Bladder: , Rectum: }}}
routes: [{name: all, when: {Modality: CT}, contour: pelvis, send_to: [eclipse], mode: send}]
evaluation: {commissioning: {cases: 20}}
"""


@pytest.fixture
def ledger(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "var").mkdir()
    ledger = Ledger(f"sqlite:///{tmp_path / 'var' / 'delineate.sqlite'}", tmp_path / "var")
    ledger.migrate()
    yield ledger
    ledger.close()


@pytest.fixture
def run(tmp_path, ledger):
    def command(*words, code=0):
        done = CliRunner().invoke(app, [*map(str, words), "--config", str(tmp_path / "config.yaml")])
        assert done.exit_code == code, (done.output, done.exception)
        return done.stdout

    return command


def cases(structure="Bladder", n=20, first=0, **fields):
    return [
        reviewed(structure, week=k / 10, dsc=0.80 + 0.01 * (7 * k % 20), **fields)
        for k in range(first, first + n)
    ]


def test_the_table_has_a_line_for_each_group_with_median_quartiles_and_state(run, ledger):
    write_down(ledger, [*cases(), *cases("Rectum", 5, ct_sender="OTHER", estimated_grade="major")])
    lines = run().splitlines()
    (bladder,) = [line for line in lines if "Bladder" in line]
    # 0.80 to 0.99 by steps of 0.01: median 0.895, quartiles 0.8475 and 0.9425, all of them acceptable
    assert "CTSCANNER" in bladder
    assert re.search(r"0\.895 \(0\.84[78] – 0\.94[23]\)", bladder)
    assert "100 %" in bladder
    assert "in control" in bladder
    (rectum,) = [line for line in lines if "Rectum" in line]
    assert "in commissioning: 5 of 20" in rectum
    assert " 0 %" in rectum
    assert "0 graded by both" in lines[-1]


def test_options_narrow_it_down(run, ledger):
    write_down(
        ledger, [*cases(), *cases("Rectum", 5), *cases("Rectum", 5, model="pelvis-ct@2.1", protocol="other")]
    )
    assert "Bladder" not in run("--structure", "Rectum")
    assert run("--model", "pelvis-ct@2.1").count("Rectum") == 1
    assert run("--protocol", "pelvis").count("Rectum") == 1
    day = "2025-10-20"  # the cases of the first ten days are left out
    (bladder,) = [
        line for line in run("--since", day, "--structure", "Bladder").splitlines() if "Bladder" in line
    ]
    after = sum(FIRST_AT + WEEK * k / 10 >= 1_760_911_200 for k in range(20))  # 20 October in Stockholm
    assert f"│ {after} " in bladder


def test_a_spreadsheet(run, ledger, tmp_path):
    write_down(ledger, cases(n=3))
    run("--csv", tmp_path / "quality.csv")
    head, line = list(csv.reader((tmp_path / "quality.csv").read_text().splitlines()))
    assert dict(zip(head, line, strict=True))["dsc_median"] == "0.87"  # 0.80, 0.87 and 0.94


def test_one_page_that_loads_nothing(run, ledger, tmp_path):
    worse = [reviewed(week=k / 10, dsc=0.4) for k in range(20, 30)]
    write_down(ledger, [*cases(), *worse, *cases("Rectum", 2, reader_grade="major")])
    run("--html", tmp_path / "quality.html")
    text = (tmp_path / "quality.html").read_text()
    Parsed(text)
    assert not re.search(r"<script|<link|https?://|url\(", text)
    assert len(re.findall("<svg", text)) == 2
    assert text.count('class="outlier"') == 10  # drawn once in the chart of the bladder
    assert text.count('class="drift"') == 1
    assert "DRIFT" in text
    assert "pelvis-ct@2.0 drifts since" in text
    assert "estimated acceptable" in text


def test_the_commissioning_report_is_a_pdf(run, ledger, tmp_path):
    write_down(ledger, cases(n=19))
    made = case_on_disk(ledger, tmp_path / "var", dsc=0.1)
    file = tmp_path / "out" / "commissioning.pdf"
    assert run("--commissioning", file).endswith(f"{file}\n")
    content = file.read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) == 3  # result, the bladder, guidance
    assert b"Lindqvist" not in content
    looked = AuditTrail(ledger).coded("looked.job")
    assert [(each.job_id, each.who) for each in looked] == [(made.job.id, getpass.getuser())]


def test_without_any_review_it_says_so_in_words(run):
    expected = "No structure that came back was measured yet: `delineate reviews list` says what came.\n"
    assert run() == expected


def test_without_any_review_there_is_nothing_to_report(run, ledger, tmp_path):
    run("--commissioning", tmp_path / "commissioning.pdf", code=1)
    assert not (tmp_path / "commissioning.pdf").exists()
    assert "Bladder" not in run()
