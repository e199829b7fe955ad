"""``delineate users``: people are let in, changed and taken out; a password is never on a command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from service.backlog.accounts import AccountRefused, Accounts
from service.backlog.audit import AuditTrail, Deed
from service.backlog.ledger import Ledger
from service.backlog.roles import Role
from service.backlog.sign_in import SignIns
from service.command_line.users import app

CONFIG = """
node: {storage: ./var}
senders: {SCANNER: }
destinations: {eclipse: {ae_title: ECLIPSE, host: 127.0.0.1, port: 11113}}
protocols: {external: {model: external@1.0, structures: {External: }}}
routes: [{name: all, when: {Modality: CT}, contour: external, send_to: [eclipse], mode: send}]
"""
PASSWORD = "correct horse battery"


@pytest.fixture
def house(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    ledger = Ledger(f"sqlite:///{tmp_path / 'var' / 'delineate.sqlite'}")
    ledger.migrate()
    yield tmp_path, ledger
    ledger.close()


def run(house, *words, stdin=""):
    config = ("--config", str(house[0] / "config.yaml"))
    return CliRunner().invoke(app, ["users", *words, *config], input=stdin, catch_exceptions=False)


def test_from_the_first_person_to_the_last(house):
    ledger = house[1]
    assert "users add" in run(house, "list").output
    added = run(house, "add", "Anna", "--role", "operator", stdin=f"{PASSWORD}\n")
    assert added.output == "anna may sign in as operator.\n"
    accounts = Accounts(ledger)
    assert accounts.verified("anna", PASSWORD) is not None
    run(house, "role", "anna", "administrator")
    run(house, "password", "anna", stdin="another horse battery\n")
    assert accounts.verified("anna", PASSWORD) is None
    assert accounts.verified("anna", "another horse battery").role is Role.ADMINISTRATOR
    assert json.loads(run(house, "list", "--json").output) == [{"name": "anna", "role": "administrator"}]
    token = run(house, "token", "anna", "--label", "monitoring", "--days", "30").stdout.strip()
    assert SignIns(ledger).by_token(token).name == "anna"
    run(house, "revoke", "anna")
    assert SignIns(ledger).by_token(token) is None
    run(house, "remove", "anna")
    assert accounts.all() == []
    told = [entry.code for entry in AuditTrail(ledger).entries() if entry.deed is Deed.PEOPLE]
    assert told == [
        "account.added", "account.role-changed", "account.password-changed", "account.token-made",
        "account.revoked", "account.removed",
    ]  # fmt: skip
    assert all(entry.who for entry in AuditTrail(ledger).entries() if entry.deed is Deed.PEOPLE)


def test_no_command_takes_a_password_as_a_word(house):
    for words in (("add", "anna", "--role", "reader"), ("password", "anna")):
        done = run(house, *words, "--password", PASSWORD)
        assert done.exit_code == 2
        assert run(house, *words, PASSWORD).exit_code == 2


def test_a_weak_password_is_refused(house):
    with pytest.raises(AccountRefused, match="12 to 256"):
        run(house, "add", "anna", "--role", "reader", stdin="short\n")
