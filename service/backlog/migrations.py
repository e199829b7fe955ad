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
    for version in sorted(each for each in _STEPS if each > (found or 0)):
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


def _several_objects(conn: sa.Connection) -> None:
    """Version 5: a delivery says which object it brings; those that were there brought structure sets."""
    t = tables.delivery
    if "kind" in {each["name"] for each in sa.inspect(conn).get_columns(t.name)}:
        return
    if conn.dialect.name != "sqlite":
        conn.exec_driver_sql("alter table delivery add column kind text not null default 'rtstruct'")
        conn.exec_driver_sql("alter table delivery alter column kind drop default")
        old = "delivery_job_id_destination_generation_key"
        conn.exec_driver_sql(f"alter table delivery drop constraint if exists {old}")
        conn.exec_driver_sql("alter table delivery add unique (job_id, destination, kind, generation)")
        return
    # SQLite cannot change what is unique: the rows move out and into a new table. What refers to them is
    # checked when all of it is committed.
    conn.exec_driver_sql("pragma defer_foreign_keys = on")
    conn.exec_driver_sql("create table delivery_before_5 as select * from delivery")
    conn.exec_driver_sql("drop table delivery")
    t.create(conn)
    names = ", ".join(column.name for column in t.columns if column.name != "kind")
    conn.exec_driver_sql(
        f"insert into delivery (kind, {names}) select 'rtstruct', {names} from delivery_before_5"  # noqa: S608
    )
    conn.exec_driver_sql("drop table delivery_before_5")


_STEPS: Final[dict[int, Callable[[sa.Connection], None]]] = {
    1: _first,
    2: _append_only,
    3: _commitments,
    4: _reviews,
    5: _several_objects,
}
