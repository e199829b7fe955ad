"""``delineate users``: who may use the console."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.backlog.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from service.backlog.ledger import Ledger

app = typer.Typer()
users_app = typer.Typer(help="Who may use the console: add, list, change, remove.", no_args_is_help=True)
app.add_typer(users_app, name="users")

Config = Annotated[
    Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file", dir_okay=False)
]
Name = Annotated[str, typer.Argument(help="the account's name")]
RoleOption = Annotated[Role, typer.Option("--role", help="what the person may do")]
_DEFAULT = Path("config.yaml")


@users_app.command()
def add(name: Name, role: RoleOption, config: Config = _DEFAULT) -> None:
    """Let a person in; the password is asked for, or read from standard input."""
    from service.backlog.accounts import Accounts

    chosen = _password()
    with _ledger(config) as ledger:
        made = Accounts(ledger, getpass.getuser()).add(name, role, chosen)
    print(f"{made.name} may sign in as {made.role.value}.")


@users_app.command("list")
def list_users(
    config: Config = _DEFAULT,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="as one JSON document")] = False,
) -> None:
    """Name everybody, with their roles."""
    from service.backlog.accounts import Accounts

    with _ledger(config) as ledger:
        found = Accounts(ledger).all()
    if as_json:
        print(json.dumps([{"name": one.name, "role": one.role.value} for one in found], indent=2))
        return
    for one in found:
        print(f"{one.name}  {one.role.value}")
    if not found:
        print("Nobody may sign in yet: `delineate users add NAME --role administrator`.")


@users_app.command()
def password(name: Name, config: Config = _DEFAULT) -> None:
    """Give a person another password, which is asked for or read from standard input."""
    from service.backlog.accounts import Accounts

    chosen = _password()
    with _ledger(config) as ledger:
        Accounts(ledger, getpass.getuser()).set_password(name, chosen)
    print("The password is changed; whoever was signed in by the old one no longer is.")


@users_app.command()
def role(
    name: Name, new: Annotated[Role, typer.Argument(help="the new role")], config: Config = _DEFAULT
) -> None:
    """Let a person do more or less."""
    from service.backlog.accounts import Accounts

    with _ledger(config) as ledger:
        Accounts(ledger, getpass.getuser()).set_role(name, new)
    print(f"{name} is {new.value} now and must sign in again.")


@users_app.command()
def remove(name: Name, config: Config = _DEFAULT) -> None:
    """Take a person out, with sessions and tokens; the audit trail keeps what they did."""
    from service.backlog.accounts import Accounts

    with _ledger(config) as ledger:
        Accounts(ledger, getpass.getuser()).remove(name)
    print(f"{name} may no longer sign in.")


@users_app.command()
def token(
    name: Name,
    label: Annotated[str, typer.Option(help="what it is for")],
    days: Annotated[float | None, typer.Option(min=0, help="how long it is good; without it, always")] = None,
    config: Config = _DEFAULT,
) -> None:
    """Make a token by which a program acts for a person, and show it once."""
    from service.backlog.sign_in import SignIns

    with _ledger(config) as ledger:
        made = SignIns(ledger).new_token(name.strip().casefold(), label, days, getpass.getuser())
    print("Send it as `Authorization: Bearer TOKEN`. It is not shown again.", file=sys.stderr)
    print(made)


@users_app.command()
def revoke(name: Name, config: Config = _DEFAULT) -> None:
    """End every session and token of a person, who may sign in again."""
    from service.backlog.accounts import Accounts

    with _ledger(config) as ledger:
        Accounts(ledger, getpass.getuser()).revoke(name)
    print(f"Every session and token of {name} has ended.")


def _password() -> str:
    """Never from the command line, where every user of the machine could read it."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    chosen = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != chosen:
        raise typer.BadParameter("the two are not the same", param_hint="password")
    return chosen


def _ledger(config: Path) -> AbstractContextManager[Ledger]:
    from contextlib import contextmanager

    from service.backlog.ledger import Ledger
    from service.config.in_force import load_in_force

    @contextmanager
    def opened() -> Iterator[Ledger]:
        loaded, _ = load_in_force(config)
        ledger = Ledger(loaded.database_url, loaded.storage)
        ledger.check()
        try:
            yield ledger
        finally:
            ledger.close()

    return opened()
