"""``delineate audit``: the trail for people, programs, spreadsheets and audit repositories."""

from __future__ import annotations

import csv
import getpass
import io
import json
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from service.backlog.audit import AuditTrail
from service.backlog.ledger import Ledger
from service.command_line.audit import app

CONFIG = """
node: {storage: ./var, timezone: Europe/Stockholm}
senders: {SCANNER: }
destinations: {eclipse: {ae_title: ECLIPSE, host: 127.0.0.1, port: 11113}}
protocols: {external: {model: external@1.0, structures: {External: }}}
routes: [{name: all, when: {Modality: CT}, contour: external, send_to: [eclipse], mode: send}]
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    ledger = Ledger(f"sqlite:///{tmp_path / 'var' / 'delineate.sqlite'}")
    ledger.migrate()
    trail = AuditTrail(ledger)
    trail.record("looked.job", who="console:anna", address="10.1.1.1", job_id="k7m29xqd")
    trail.record("sign-in.failed", who="=cmd()", succeeded=False)

    def command(*words, code=0):
        done = CliRunner().invoke(app, [*words, "--config", str(tmp_path / "config.yaml")])
        assert done.exit_code == code, done.output
        return done.stdout

    yield command
    ledger.close()


def test_json_has_a_document_a_line_and_reading_is_written_down(run):
    rows = [json.loads(line) for line in run("--json").splitlines()]
    assert [(row["code"], row["who"], row["job"]) for row in rows] == [
        ("looked.job", "console:anna", "k7m29xqd"),
        ("sign-in.failed", "=cmd()", None),
    ]
    last = json.loads(run("--json").splitlines()[-1])
    assert (last["code"], last["who"], last["facts"]) == ("audit.read", getpass.getuser(), {"count": 2})


def test_a_spreadsheet_gets_no_formula(run):
    rows = list(csv.DictReader(io.StringIO(run("--csv"))))
    assert [row["who"] for row in rows] == ["console:anna", "'=cmd()"]
    assert rows[1]["succeeded"] == "False"


def test_messages_are_one_a_line(run):
    messages = [ElementTree.fromstring(line) for line in run("--atna").splitlines()]
    assert [each.find("EventIdentification/EventID").get("csd-code") for each in messages] == [
        "110103",
        "110114",
    ]


def test_only_what_was_in_that_time(run):
    assert "k7m29xqd" in run("--since", "2020-01-01")
    assert run("--json", "--since", "2200-01-01") == ""
    assert run("--json", "--until", "2020-01-01T12:00") == ""
    run("--since", "yesterday", code=2)
    run("--json", "--csv", code=2)
