"""Whether the node can take a CT now, check by check."""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from pydantic import BaseModel

from service.node.heartbeat import ages_everywhere_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.console.premises import Premises

SILENT_SECONDS: Final = 15.0


class Check(BaseModel):
    """One thing that must be so; ``sentence`` says what is wrong if it is not."""

    name: str
    good: bool
    sentence: str | None = None


class Checks(BaseModel):
    """All of them."""

    ready: bool
    checks: list[Check]


def readiness(premises: Premises) -> Checks:
    """Look at everything once."""
    checks = [_database(premises), _spool(premises.storage), _disk(premises), *_processes(premises.storage)]
    return Checks(ready=all(check.good for check in checks), checks=checks)


def _database(premises: Premises) -> Check:
    try:
        with premises.ledger.reading() as conn:
            conn.execute(sa.text("select 1"))
    except sa.exc.SQLAlchemyError:
        return Check(name="database", good=False, sentence="The database does not answer.")
    return Check(name="database", good=True)


def _spool(storage: Path) -> Check:
    good = os.access(storage / "spool" / "incoming", os.W_OK | os.X_OK)
    return Check(name="spool", good=good, sentence=None if good else "The spool cannot be written.")


def _disk(premises: Premises) -> Check:
    free = shutil.disk_usage(premises.storage).free
    reserve = premises.started_with.site.node.disk.reserve_gb * 1e9
    if free >= reserve:
        return Check(name="disk", good=True)
    sentence = f"{free / 1e9:.1f} GB are free; below {reserve / 1e9:.1f} GB no image is taken."
    return Check(name="disk", good=False, sentence=sentence)


def _processes(storage: Path) -> Iterator[Check]:
    """Arrival and a worker must live somewhere; the others of this host are named if they are silent."""
    everywhere = {key: age for key, age in ages_everywhere_seconds(storage).items() if key[1] != "console"}
    alive = {role for (_, role), age in everywhere.items() if age <= SILENT_SECONDS}
    yield _needed("arrival", "arrival" in alive)
    yield _needed("work", bool(alive - {"arrival"}))
    for (host, role), age in sorted(everywhere.items()):
        if age > SILENT_SECONDS and host == socket.gethostname():
            sentence = f"The {role} process has given no sign of life for {age:.0f} s."
            yield Check(name=f"process {role} of this machine", good=False, sentence=sentence)


def _needed(role: str, there: bool) -> Check:
    sentence = None if there else f"No {role} process gives a sign of life on any machine of the node."
    return Check(name=f"process {role}", good=there, sentence=sentence)
