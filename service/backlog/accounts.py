"""People who may use the console: their names, roles and hashed passwords (Argon2id, RFC 9106)."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from service.backlog import account_tables as tables
from service.backlog.audit import AuditTrail
from service.backlog.database import now
from service.backlog.roles import Role
from service.errors import NodeError

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger

SHORTEST_PASSWORD: Final = 12
_LONGEST_PASSWORD: Final = 256  # what is longer is only meant to keep us busy
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_one_at_a_time: Final = threading.Lock()  # each check takes 64 MiB for a moment


class AccountRefused(NodeError):
    """There is no such person, there is one already, or the password is too weak."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person, or a program that acts for one."""

    name: str
    role: Role
    created_at: float


class Accounts:
    """The people in the ledger's database. Changes are written into the audit trail, by ``who``."""

    def __init__(self, ledger: Ledger, who: str | None = None) -> None:
        self._ledger = ledger
        self._who = who
        self._audit = AuditTrail(ledger)
        self._hasher = PasswordHasher()
        self._nobody: str | None = None

    def add(self, name: str, role: Role, password: str) -> Account:
        """Let a person in.

        Raises:
            AccountRefused: the name is taken or no name, or the password is too short.
        """
        name, hashed, at = _name(name), self._hashed(name, password), now()
        values = {"name": name, "role": role.value, "password": hashed, "created_at": at, "changed_at": at}
        with self._ledger.begin() as conn:
            if self._find(conn, name) is not None:
                raise AccountRefused("account.exists", f"There is an account {name} already.")
            conn.execute(sa.insert(tables.account).values(**values))
            self._say(conn, "account.added", name, role=role.value)
        return Account(name, role, at)

    def vouched_for(self, name: str, role: Role) -> Account:
        """The account of a person for whom an identity provider vouches, with the role that it gives them.

        It is made when they first come, without a password.

        Raises:
            AccountRefused: the name is no name, or it is the account of somebody who signs in by password.
        """
        name, at, t = _name(name), now(), tables.account
        with self._ledger.begin() as conn:
            row = conn.execute(sa.select(t).where(t.c.name == name)).first()
            if row is None:
                values = {"name": name, "role": role.value, "created_at": at, "changed_at": at}
                conn.execute(sa.insert(t).values(**values))
                self._say(conn, "account.added", name, role=role.value, by="oidc")
            elif row.password is not None:
                sentence = (
                    f"The account {name} has a password here and is not taken over. "
                    "An administrator removes it, or gives it another name."
                )
                raise AccountRefused("account.has-password", sentence)
            elif row.role != role.value:
                conn.execute(sa.update(t).where(t.c.name == name).values(role=role.value, changed_at=at))
                self._say(conn, "account.role-changed", name, role=role.value, by="oidc")
        return Account(name, role, at if row is None else row.created_at)

    def all(self) -> list[Account]:
        """Everybody, by name."""
        t = tables.account
        with self._ledger.reading() as conn:
            rows = conn.execute(sa.select(t.c.name, t.c.role, t.c.created_at).order_by(t.c.name))
            return [Account(name, Role(role), created_at) for name, role, created_at in rows]

    def set_password(self, name: str, password: str) -> None:
        """Give a person another password; whoever is signed in by the old one is signed out."""
        name = _name(name)
        self._change(name, "account.password-changed", password=self._hashed(name, password))

    def set_role(self, name: str, role: Role) -> None:
        """Let a person do more or less from now on."""
        self._change(_name(name), "account.role-changed", {"role": role.value}, role=role.value)

    def remove(self, name: str) -> None:
        """Take a person out, with sessions and tokens; the audit trail keeps what they did."""
        name = _name(name)
        with self._ledger.begin() as conn:
            self._must_exist(conn, name)
            self._sign_out(conn, name)
            conn.execute(sa.delete(tables.api_token).where(tables.api_token.c.account == name))
            conn.execute(sa.delete(tables.account).where(tables.account.c.name == name))
            self._say(conn, "account.removed", name)

    def revoke(self, name: str) -> None:
        """End every session and token of a person, who stays and may sign in again."""
        name = _name(name)
        with self._ledger.begin() as conn:
            self._must_exist(conn, name)
            self._sign_out(conn, name)
            conn.execute(sa.delete(tables.api_token).where(tables.api_token.c.account == name))
            self._say(conn, "account.revoked", name)

    def verified(self, name: str, password: str) -> Account | None:
        """The person if the password is right; the time does not tell whether there is such a person."""
        folded = name.strip().casefold()[:64]
        with self._ledger.reading() as conn:
            row = self._find(conn, folded)
        hashed = row.password if row is not None else None
        right = self._is_right(hashed or self._hash_of_nobody(), password[:_LONGEST_PASSWORD])
        if row is None or hashed is None or not right:
            return None
        if self._hasher.check_needs_rehash(hashed):
            with self._ledger.begin() as conn:
                anew = {"password": self._hasher.hash(password)}
                conn.execute(sa.update(tables.account).where(tables.account.c.name == folded).values(**anew))
        return Account(row.name, Role(row.role), row.created_at)

    def _is_right(self, hashed: str, password: str) -> bool:
        with _one_at_a_time:
            try:
                return self._hasher.verify(hashed, password)
            except (Argon2Error, InvalidHashError):
                return False

    def _hash_of_nobody(self) -> str:
        if self._nobody is None:
            self._nobody = self._hasher.hash("nobody has this password")
        return self._nobody

    def _hashed(self, name: str, password: str) -> str:
        if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD or name in password.casefold():
            sentence = (
                f"A password has {SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters and does not hold "
                "the account's name. Several words are easier to remember than signs."
            )
            raise AccountRefused("account.password-weak", sentence)
        return self._hasher.hash(password)

    def _change(self, name: str, code: str, facts: dict[str, str] | None = None, **values: str) -> None:
        with self._ledger.begin() as conn:
            self._must_exist(conn, name)
            t = tables.account
            conn.execute(sa.update(t).where(t.c.name == name).values(**values, changed_at=now()))
            self._sign_out(conn, name)
            self._say(conn, code, name, **(facts or {}))

    def _sign_out(self, conn: sa.Connection, name: str) -> None:
        t = tables.sign_in_session
        conn.execute(sa.delete(t).where(t.c.account == name))

    def _must_exist(self, conn: sa.Connection, name: str) -> None:
        if self._find(conn, name) is None:
            sentence = f"There is no account {name}. `delineate users list` names them all."
            raise AccountRefused("account.unknown", sentence)

    def _find(self, conn: sa.Connection, name: str) -> sa.Row[tuple[object, ...]] | None:
        return conn.execute(sa.select(tables.account).where(tables.account.c.name == name)).first()

    def _say(self, conn: sa.Connection, code: str, account: str, **facts: str) -> None:
        self._audit.record(code, who=self._who, facts={"account": account, **facts}, conn=conn)


def _name(name: str) -> str:
    folded = name.strip().casefold()
    if not _NAME.fullmatch(folded):
        sentence = "A name of an account has letters a to z, digits, '-', '_', '.', '@', at most 64 of them."
        raise AccountRefused("account.name", sentence)
    return folded
