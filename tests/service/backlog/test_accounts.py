"""People, their passwords, sessions and tokens, and how long one who guesses must wait; on either database."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from service.backlog import account_tables as tables
from service.backlog import accounts as accounts_module
from service.backlog import sign_in as sign_in_module
from service.backlog.accounts import AccountRefused, Accounts
from service.backlog.roles import Role
from service.backlog.sign_in import SignIns, csrf_token

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(ledger):
    return Accounts(ledger, "root")


@pytest.fixture
def sign_ins(ledger):
    return SignIns(ledger)


@pytest.fixture
def clock(monkeypatch):
    """The time as the sign-ins see it; moved by the tests."""
    at = [1000.0]
    for module in (sign_in_module, accounts_module):
        monkeypatch.setattr(module, "now", lambda: at[0])
    return at


def column(ledger, of: sa.Column) -> list:
    with ledger.reading() as conn:
        return list(conn.execute(sa.select(of)).scalars())


def test_only_the_right_password_lets_in_and_it_is_nowhere_in_clear(accounts, ledger):
    accounts.add("Anna", Role.OPERATOR, PASSWORD)
    found = accounts.verified("ANNA", PASSWORD)
    assert (found.name, found.role) == ("anna", Role.OPERATOR)
    assert accounts.verified("anna", PASSWORD + "!") is None
    assert accounts.verified("nobody", PASSWORD) is None
    (hashed,) = column(ledger, tables.account.c.password)
    assert hashed.startswith("$argon2id$")
    assert PASSWORD not in hashed


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        ("anna", "elevenchars", "account.password-weak"),
        ("anna", "anna anna anna anna", "account.password-weak"),
        ("anna", "x" * 257, "account.password-weak"),
        ("Anna Lind", PASSWORD, "account.name"),
        ("../anna", PASSWORD, "account.name"),
        ("", PASSWORD, "account.name"),
    ],
)
def test_weak_passwords_and_odd_names_are_refused(accounts, name, password, code):
    with pytest.raises(AccountRefused) as refused:
        accounts.add(name, Role.READER, password)
    assert refused.value.code == code
    assert accounts.all() == []


def test_nobody_is_there_twice_and_nobody_unknown_is_changed(accounts):
    accounts.add("anna", Role.READER, PASSWORD)
    with pytest.raises(AccountRefused, match="already"):
        accounts.add("ANNA", Role.READER, PASSWORD)
    for change in (
        lambda: accounts.set_role("bo", Role.READER),
        lambda: accounts.set_password("bo", PASSWORD),
        lambda: accounts.remove("bo"),
        lambda: accounts.revoke("bo"),
    ):
        with pytest.raises(AccountRefused, match="no account bo"):
            change()


def test_a_session_ends_by_time_by_idleness_and_by_signing_out(accounts, sign_ins, clock, ledger):
    anna = accounts.add("anna", Role.READER, PASSWORD)
    token = sign_ins.open_session(anna, hours=2.0)
    assert sign_ins.by_session(token, idle_minutes=30).name == "anna"
    assert sign_ins.by_session(token[:-1], idle_minutes=30) is None
    clock[0] += 29 * 60
    assert sign_ins.by_session(token, idle_minutes=30) is not None  # and that was a sign of life
    clock[0] += 29 * 60
    assert sign_ins.by_session(token, idle_minutes=30) is not None
    clock[0] += 31 * 60
    assert sign_ins.by_session(token, idle_minutes=30) is None
    assert sign_ins.by_session(token, idle_minutes=300) is not None
    clock[0] += 31 * 60 + 1  # 2 h and 1 s after it began
    assert sign_ins.by_session(token, idle_minutes=300) is None
    second = sign_ins.open_session(anna, hours=2.0)
    sign_ins.close_session(second)
    assert sign_ins.by_session(second, idle_minutes=30) is None
    third = sign_ins.open_session(anna, hours=2.0)
    assert third not in column(ledger, tables.sign_in_session.c.token_sha256)
    assert csrf_token(third) != csrf_token(second)


def test_another_password_role_or_none_signs_out(accounts, sign_ins):
    anna = accounts.add("anna", Role.READER, PASSWORD)
    changes = (
        lambda: accounts.set_password("anna", "another horse battery"),
        lambda: accounts.set_role("anna", Role.ADMINISTRATOR),
        lambda: accounts.revoke("anna"),
        lambda: accounts.remove("anna"),
    )
    for change in changes:
        session = sign_ins.open_session(anna, hours=1.0)
        change()
        assert sign_ins.by_session(session, idle_minutes=30) is None


def test_a_token_acts_for_its_person_until_its_day_or_theirs(accounts, sign_ins, clock, ledger):
    accounts.add("robot", Role.READER, PASSWORD)
    token = sign_ins.new_token("robot", "monitoring", days=1.0, who="root")
    assert sign_ins.by_token(token).role is Role.READER
    accounts.set_role("robot", Role.OPERATOR)
    assert sign_ins.by_token(token).role is Role.OPERATOR
    assert token not in column(ledger, tables.api_token.c.token_sha256)
    clock[0] += 86401
    assert sign_ins.by_token(token) is None
    lasting = sign_ins.new_token("robot", "scripts", days=None)
    accounts.remove("robot")
    assert sign_ins.by_token(lasting) is None
    with pytest.raises(AccountRefused):
        sign_ins.new_token("nobody", "x", days=None)


def test_the_delay_grows_for_a_person_and_not_for_another(sign_ins, clock):
    for _ in range(4):
        sign_ins.failed("anna", "10.1.1.1")
    assert sign_ins.seconds_to_wait("anna", "10.1.1.1") == 0
    waits = []
    for _ in range(12):
        sign_ins.failed("Anna", "10.1.1.1")
        waits.append(sign_ins.seconds_to_wait("anna", "10.1.1.1"))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert sign_ins.seconds_to_wait("bo", "10.1.1.1") == 0
    assert sign_ins.seconds_to_wait("anna", "10.1.1.2") == 0, "she is not locked out by somebody elsewhere"
    clock[0] += 900
    assert sign_ins.seconds_to_wait("anna", "10.1.1.1") == 0
    sign_ins.succeeded("anna", "10.1.1.1")
    sign_ins.failed("anna", "10.1.1.1")
    assert sign_ins.seconds_to_wait("anna", "10.1.1.1") == 0


def test_an_address_that_tries_many_names_waits_whatever_the_name(sign_ins, clock):
    for number in range(20):
        sign_ins.failed(f"name{number}", "10.1.1.1")
    assert sign_ins.seconds_to_wait("another", "10.1.1.1") == 1
    sign_ins.succeeded("name1", "10.1.1.1")
    assert sign_ins.seconds_to_wait("another", "10.1.1.1") == 1
    clock[0] += 86401
    sign_ins.failed("later", "10.1.1.1")
    assert sign_ins.seconds_to_wait("another", "10.1.1.1") == 0
    for _ in range(100):
        sign_ins.failed("later", "10.1.1.1")
    assert sign_ins.seconds_to_wait("later", "10.1.1.1") == 900


def test_every_role_may_what_those_before_may():
    may = {(has.value, needed.value): has.may(needed) for has in Role for needed in Role}
    assert [key for key, allowed in may.items() if not allowed] == [
        ("reader", "operator"),
        ("reader", "administrator"),
        ("operator", "administrator"),
    ]
