"""From an older ledger to this program's: one step for each version, forward only, each safe to repeat.

Tables that are new are created before the steps run, so that a step changes only what was there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from service.backlog import (  # noqa: F401 - their tables join the metadata
    account_tables,
    commitment_tables,
    review_tables,
)
from service.backlog import ledger_tables as tables

_REFUSAL: Final = "the audit trail is append-only"
_STILL_HELD: Final = (
    "exists (select 1 from job where id = old.job_id) "
    "or exists (select 1 from series where id = old.series_id)"
)
_GUARDS: Final = (
    ("audit", "update", "1 = 1"),
    ("audit", "delete", "1 = 1"),
    ("event", "update", "1 = 1"),
    ("event", "delete", _STILL_HELD),  # retention forgets a CT first and what happened to it last
)


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


def _append_only(conn: sa.Connection) -> None:
    """Version 2: nothing that was written into the audit trail can be changed or taken out of it."""
    if conn.dialect.name == "sqlite":
        for table, verb, when in _GUARDS:
            conn.exec_driver_sql(
                f"create trigger if not exists {table}_no_{verb} before {verb} on {table} "
                f"when {when} begin select raise(abort, '{_REFUSAL}'); end"
            )
        return
    for table, verb, when in _GUARDS:
        name = f"{table}_no_{verb}"
        # In PostgreSQL a trigger's own condition may not look into tables: the function does.
        conn.exec_driver_sql(
            f"create or replace function {name}() returns trigger language plpgsql as $$ begin "
            f"if {when} then raise exception '{_REFUSAL}'; end if; "
            f"return {'old' if verb == 'delete' else 'new'}; end $$"
        )
        conn.exec_driver_sql(f"drop trigger if exists {name} on {table}")
        conn.exec_driver_sql(
            f"create trigger {name} before {verb} on {table} for each row execute function {name}()"
        )


def _commitments(_conn: sa.Connection) -> None:
    """Version 3: tables of storage commitment; nothing that was there changes."""


def _reviews(_conn: sa.Connection) -> None:
    """Version 4: tables of evaluation; nothing that was there changes."""


_STEPS: Final[dict[int, Callable[[sa.Connection], None]]] = {
    1: _first,
    2: _append_only,
    3: _commitments,
    4: _reviews,
}
