"""From an older ledger to this program's: one step for each version, forward only, each safe to repeat.

Tables that are new are created before the steps run, so that a step changes only what was there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from service.backlog import commitment_tables  # noqa: F401 - its tables join the ledger's metadata
from service.backlog import ledger_tables as tables


def bring_up(conn: sa.Connection, found: int | None) -> None:
    """Run the steps from version ``found`` (None: the tables are new) to this program's."""
    for version in range((found or 0) + 1, tables.SCHEMA_VERSION + 1):
        _STEPS[version](conn)
    if found is None:
        conn.execute(sa.insert(tables.ledger_version).values(version=tables.SCHEMA_VERSION))
    elif found < tables.SCHEMA_VERSION:
        conn.execute(sa.update(tables.ledger_version).values(version=tables.SCHEMA_VERSION))


def _first(_conn: sa.Connection) -> None:
    """The tables themselves."""


def _commitments(_conn: sa.Connection) -> None:
    """Tables of storage commitment; nothing that was there changes."""


_STEPS: Final[dict[int, Callable[[sa.Connection], None]]] = {1: _first, 2: _commitments}
