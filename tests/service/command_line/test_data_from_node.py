"""``delineate data from-node``: consent comes first, and what was taken is written down."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from service.backlog.audit import AuditTrail, Deed
from service.backlog.ledger import Ledger
from service.command_line.data import app
from service.errors import DataRefused

CONFIG = "node: {storage: ./var}\nroutes: []\nevaluation: {training: {consent: %s}}\n"


def from_node(folder, *words):
    given = [
        "data",
        "from-node",
        "--out",
        str(folder / "data"),
        "--config",
        str(folder / "config.yaml"),
        *words,
    ]
    return CliRunner().invoke(app, given)


@pytest.mark.parametrize(("consent", "code"), [("none", "consent.none"), ("all", "data.empty")])
def test_without_consent_or_cases_there_is_no_data_set(tmp_path, consent, code):
    (tmp_path / "config.yaml").write_text(CONFIG % consent)
    ledger = Ledger(f"sqlite:///{tmp_path / 'var' / 'delineate.sqlite'}")
    ledger.migrate()
    found = from_node(tmp_path)
    assert isinstance(found.exception, DataRefused)
    assert found.exception.code == code
    assert not (tmp_path / "data").exists()
    assert [each for each in AuditTrail(ledger).entries() if each.deed is Deed.LOOKED] == []
    ledger.close()


def test_shares_must_leave_something_to_train_on(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG % "all")
    assert from_node(tmp_path, "--keep-aside", "0.9").exit_code == 2
