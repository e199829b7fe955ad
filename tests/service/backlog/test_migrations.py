"""A ledger of version 1 becomes today's; nothing leaves the audit trail, on either database."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from service.backlog import account_tables as people
from service.backlog import ledger_tables as tables
from service.backlog.ledger import Ledger, LedgerRefused
from service.backlog.records import JobState, Mode, SeriesState
from service.config.output_objects import ObjectKind

NEW_IN_2 = ("account", "sign_in_session", "api_token", "failed_sign_in", "audit", "alarm")


@pytest.fixture
def own_ledger(tmp_path, request):
    """A ledger of its own, on either database: its tables are taken away."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'own' / 'delineate.sqlite'}"
    else:
        url = request.getfixturevalue("postgresql").new_database()
    ledger = Ledger(url, tmp_path)
    ledger.migrate()
    yield ledger
    ledger.close()


def write(ledger: Ledger) -> None:
    with ledger.begin() as conn:
        conn.execute(sa.insert(people.audit).values(at=1.0, code="sign-in", who="anna", succeeded=True))


def make_version_1_of(ledger: Ledger) -> None:
    """Take away what version 2 brought."""
    with ledger.begin() as conn:
        server = conn.dialect.name == "postgresql"
        for verb in ("update", "delete"):
            conn.exec_driver_sql(f"drop trigger event_no_{verb}" + (" on event" if server else ""))
        for table in ("sign_in_session", "api_token", "account", "failed_sign_in", "audit", "alarm"):
            conn.exec_driver_sql(f"drop table {table}")
        conn.execute(sa.update(tables.ledger_version).values(version=1))


@pytest.mark.parametrize(
    "own_ledger", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)], indirect=True
)
def test_a_ledger_of_version_1_is_refused_until_it_is_brought_up(own_ledger, received, identity):
    with own_ledger.begin() as conn:
        own_ledger.record_series(conn, received(), identity, SeriesState.ROUTED)
    make_version_1_of(own_ledger)
    with pytest.raises(LedgerRefused, match="delineate migrate"):
        own_ledger.check()
    own_ledger.migrate()
    own_ledger.check()
    assert own_ledger.counts().series == {"routed": 1}
    with own_ledger.reading() as conn:
        assert set(NEW_IN_2) <= set(sa.inspect(conn).get_table_names())
    write(own_ledger)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), own_ledger.begin() as conn:
        conn.execute(sa.delete(tables.event))


@pytest.mark.parametrize("statement", [
    sa.update(people.audit).values(who="somebody else"),
    sa.delete(people.audit),
    sa.update(tables.event).values(who="somebody else"),
    sa.delete(tables.event),
])  # fmt: skip
def test_nothing_in_the_audit_trail_is_changed_or_taken_out(ledger, new_job, statement):
    new_job()
    write(ledger)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), ledger.begin() as conn:
        conn.execute(statement)
    with ledger.reading() as conn:
        assert conn.execute(sa.select(people.audit.c.who)).scalars().all() == ["anna"]
        assert "job.queued" in conn.execute(sa.select(tables.event.c.code)).scalars().all()


def make_version_4_of(ledger: Ledger) -> None:
    """Take away what version 5 brought to deliveries: their kind, and what may be there twice."""
    with ledger.begin() as conn:
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("alter table delivery drop column kind")  # and with it what it makes unique
            conn.exec_driver_sql("alter table delivery add unique (job_id, destination, generation)")
        else:
            conn.exec_driver_sql("pragma defer_foreign_keys = on")
            conn.exec_driver_sql("create table kept as select * from delivery")
            conn.exec_driver_sql("drop table delivery")
            old = tables.delivery.to_metadata(sa.MetaData())
            for each in [*old.constraints]:
                if isinstance(each, sa.UniqueConstraint | sa.ForeignKeyConstraint):
                    old.constraints.remove(each)
            old._columns.remove(old.c.kind)
            old.append_constraint(sa.UniqueConstraint("job_id", "destination", "generation"))
            old.create(conn)
            names = ", ".join(column.name for column in old.columns)
            conn.exec_driver_sql(f"insert into delivery ({names}) select {names} from kept")
            conn.exec_driver_sql("drop table kept")
        conn.execute(sa.update(tables.ledger_version).values(version=4))


@pytest.mark.parametrize(
    "own_ledger", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)], indirect=True
)
def test_deliveries_of_version_4_brought_structure_sets_and_others_may_join_them(
    own_ledger, received, identity, tmp_path
):
    with own_ledger.begin() as conn:
        series = own_ledger.record_series(conn, received(), identity, SeriesState.ROUTED)
        job = own_ledger.create_job(
            conn, series_id=series, protocol="p", destinations=["d"], mode=Mode.SEND, priority=1, files=[],
            config_version="0",
        )  # fmt: skip
        own_ledger.move_job(conn, job.id, JobState.CONTOURING)
        how = {
            "job_id": job.id,
            "destination": "d",
            "file": tmp_path / "set.dcm",
            "sop_instance_uid": "2.25.1",
        }
        made = own_ledger.create_delivery(conn, **how)
        own_ledger.move_job(conn, job.id, JobState.DELIVERING)
    own_ledger.start_attempt(made.id)
    make_version_4_of(own_ledger)
    own_ledger.migrate()
    own_ledger.migrate()
    own_ledger.check()
    ((delivery, (attempt,)),) = own_ledger.story(job.id).deliveries
    assert (delivery.id, delivery.kind, delivery.attempts) == (made.id, ObjectKind.RTSTRUCT, 1)
    assert attempt.n == 1
    with own_ledger.begin() as conn:
        own_ledger.create_delivery(conn, **how, kind=ObjectKind.SEGMENTATION)
    assert [each.generation for each in own_ledger.deliveries(job.id)] == [1, 1]
    twice = sa.insert(tables.delivery).from_select(
        [c.name for c in tables.delivery.c if c.name != "id"],
        sa.select(*(c for c in tables.delivery.c if c.name != "id")),
    )
    with pytest.raises(sa.exc.IntegrityError), own_ledger.begin() as conn:
        conn.execute(twice)
    orphan = sa.insert(tables.attempt).values(delivery_id=999, n=1, started_at=0.0)
    with pytest.raises(sa.exc.IntegrityError), own_ledger.begin() as conn:
        conn.execute(orphan)
