"""The ledger's part for arrival: series, configurations in force, events, and what was sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Final

import sqlalchemy as sa

from service.backlog import ledger_tables as tables
from service.backlog.database import Database, LedgerRefused, now
from service.backlog.records import (
    JobState,
    PatientIdentity,
    ReceivedSeries,
    RecordedSeries,
    SeriesState,
)
from service.backlog.trial_names import no_trial

Facts = Mapping[str, object]
_IDENTITY: Final = tuple(field.name for field in fields(PatientIdentity))


class SeriesLedger(Database):
    """Series and what happened to them."""

    def record_series(
        self,
        conn: sa.Connection,
        series: ReceivedSeries,
        identity: PatientIdentity,
        state: SeriesState,
        code: str | None = None,
        sentence: str | None = None,
    ) -> int:
        """Write down a series, or what has become of it, and return its row.

        The revision grows when a series that was recorded as complete has more instances now, or has come
        back after it was purged; a second call with the same content changes nothing that a job depends on,
        and one with less, from a host that was frozen while another received more, changes nothing at all.
        """
        values = {
            "study_instance_uid": series.study_instance_uid,
            "folder": self._stored(series.folder),
            "folder_name": series.folder.name,
            "state": state.value,
            "code": code,
            "sentence": sentence,
            "instances": len(series.instances),
            "calling_ae_title": series.calling_ae_title,
            "called_ae_title": series.called_ae_title,
            "sender_address": series.sender_address,
            "last_at": series.last_at,
            "purged_at": None,
            **asdict(identity),
        }
        t = tables.series
        of_series = t.c.series_instance_uid == series.series_instance_uid
        known = conn.execute(sa.select(t).where(of_series).with_for_update()).mappings().first()
        if known is None:
            values |= {"series_instance_uid": series.series_instance_uid, "first_at": series.first_at}
            values |= {"revision": 1, "recorded_at": now()}
            series_id = int(conn.execute(sa.insert(t).values(**values).returning(t.c.id)).scalar_one())
            revision = 1
        else:
            series_id, revision = int(known["id"]), int(known["revision"])
            complete, purged = known["state"] != SeriesState.COLLECTING, known["purged_at"] is not None
            if complete and not purged and len(series.instances) < known["instances"]:
                return series_id
            revision += complete and (purged or len(series.instances) > known["instances"])
            values |= {"revision": revision, "first_at": min(series.first_at, known["first_at"])}
            conn.execute(sa.update(t).where(t.c.id == series_id).values(**values))
        self.add_event(
            conn,
            series_id=series_id,
            code=code or f"series.{state.value}",
            sentence=sentence,
            facts={
                "state": state.value,
                "instances": len(series.instances),
                "revision": revision,
                "sender": series.calling_ae_title.strip(),
                "address": series.sender_address,
            },
        )
        return series_id

    def sender_address(self, series_id: int, ae_title: str) -> str | None:
        """From where a sender called when it last sent this series; None if it never did.

        The series itself knows only who sent it last, and what goes back to one sender must not go to where
        another one is.
        """
        t = tables.event
        query = sa.select(t.c.facts).where(t.c.series_id == series_id, t.c.facts.is_not(None))
        with self.reading() as conn:
            for facts in conn.execute(query.order_by(t.c.id.desc())).scalars():
                if facts.get("sender") == ae_title:
                    return str(facts["address"])
        return None

    def new_revision(self, conn: sa.Connection, series_id: int) -> int:
        """Begin a new revision, so that a series without new instances is contoured anew on purpose."""
        t = tables.series
        conn.execute(sa.update(t).where(t.c.id == series_id).values(revision=t.c.revision + 1))
        return int(conn.execute(sa.select(t.c.revision).where(t.c.id == series_id)).scalar_one())

    def locked_series(self, conn: sa.Connection, series_id: int) -> RecordedSeries:
        """A series that no other transaction changes or purges before this one ends."""
        conn.execute(sa.select(tables.series.c.id).where(tables.series.c.id == series_id).with_for_update())
        return self.series(series_id, conn)

    def series(self, series_id: int, conn: sa.Connection | None = None) -> RecordedSeries:
        """A series by its row.

        Raises:
            LedgerRefused: there is none.
        """
        with self._joined(conn) as joined:
            row = (
                joined.execute(sa.select(tables.series).where(tables.series.c.id == series_id))
                .mappings()
                .first()
            )
        if row is None:
            code = "ledger.no-such-series"
            raise LedgerRefused(code, f"The ledger holds no series {series_id}.")
        return self._series_of(row)

    def find_series(
        self, series_instance_uid: str, conn: sa.Connection | None = None
    ) -> RecordedSeries | None:
        """A series by its UID, None if it was never recorded."""
        t = tables.series
        with self._joined(conn) as joined:
            row = (
                joined.execute(sa.select(t).where(t.c.series_instance_uid == series_instance_uid))
                .mappings()
                .first()
            )
        return None if row is None else self._series_of(row)

    def recorded_series(self) -> dict[str, int]:
        """How many instances were recorded of each complete series, by the name of its folder in the spool.

        A folder that is not named here, or that holds more files than are named, has something new in it.
        Series still being collected and series that were purged are left out.
        """
        t = tables.series
        query = sa.select(t.c.folder_name, t.c.instances)
        query = query.where(t.c.state != SeriesState.COLLECTING.value, t.c.purged_at.is_(None))
        with self.reading() as conn:
            return {name: int(count) for name, count in conn.execute(query)}

    def sets_since(self, conn: sa.Connection, study_instance_uid: str, since: float) -> int:
        """How many jobs of a study were created since then, but for cancelled and refused ones and trials."""
        j, s = tables.job, tables.series
        without = [JobState.CANCELLED.value, JobState.REFUSED.value]
        query = sa.select(sa.func.count()).select_from(j.join(s, j.c.series_id == s.c.id))
        query = query.where(
            s.c.study_instance_uid == study_instance_uid, j.c.created_at >= since, no_trial(j.c.protocol)
        )
        return int(conn.execute(query.where(j.c.state.not_in(without))).scalar_one())

    def resent(
        self, series_instance_uid: str, since: float = 0.0, conn: sa.Connection | None = None
    ) -> list[float]:
        """When structure sets of a series were sent again because it arrived again, oldest first."""
        t = tables.resent
        query = sa.select(t.c.at).where(t.c.series_instance_uid == series_instance_uid, t.c.at >= since)
        with self._joined(conn) as joined:
            return [float(at) for at in joined.execute(query.order_by(t.c.at)).scalars()]

    def record_resend(self, conn: sa.Connection, series_instance_uid: str, at: float | None = None) -> None:
        """Write down that a series' structure sets are sent again because it arrived again."""
        values = {"series_instance_uid": series_instance_uid, "at": now() if at is None else at}
        conn.execute(sa.insert(tables.resent).values(**values))

    def save_config(self, conn: sa.Connection, version: str, text: str) -> None:
        """Keep the text of a configuration under its version; the second time nothing happens."""
        t = tables.config
        if conn.execute(sa.select(t.c.version).where(t.c.version == version)).first() is None:
            conn.execute(insert_if_new(conn, t).values(version=version, text=text, first_used_at=now()))

    def config_text(self, version: str) -> str:
        """The text of a configuration that was in force.

        Raises:
            LedgerRefused: it was never saved.
        """
        with self.reading() as conn:
            t = tables.config
            text = conn.execute(sa.select(t.c.text).where(t.c.version == version)).scalar()
        if text is None:
            code = "ledger.no-such-config"
            raise LedgerRefused(code, f"The ledger holds no configuration of version {version}.")
        return str(text)

    def add_event(  # noqa: PLR0913 one row
        self,
        conn: sa.Connection,
        *,
        job_id: str | None = None,
        series_id: int | None = None,
        code: str,
        sentence: str | None = None,
        facts: Facts | None = None,
        who: str | None = None,
    ) -> None:
        """Add a line to the story of a job or a series; ``who`` is the person, None for the node itself."""
        values = {
            "at": now(),
            "job_id": job_id,
            "series_id": series_id,
            "code": code,
            "sentence": sentence,
            "who": who,
        }
        conn.execute(sa.insert(tables.event).values(**values, facts=dict(facts) if facts else None))

    def _series_of(self, row: sa.RowMapping) -> RecordedSeries:
        same: tuple[str, ...] = (
            "id",
            "series_instance_uid",
            "study_instance_uid",
            "revision",
            "code",
            "sentence",
            "instances",
        )
        same += ("calling_ae_title", "called_ae_title", "sender_address", "first_at", "last_at", "purged_at")
        return RecordedSeries(
            **{name: row[name] for name in same},
            folder=self._found(row["folder"]),
            state=SeriesState(row["state"]),
            identity=PatientIdentity(**{name: row[name] for name in _IDENTITY}),
        )


def insert_if_new(conn: sa.Connection, table: sa.Table) -> sa.Insert:
    """An insert that leaves an existing row as it is, in the words of either database."""
    if conn.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as insert_into_sqlite

        return insert_into_sqlite(table).on_conflict_do_nothing()
    from sqlalchemy.dialects.postgresql import insert as insert_into_postgresql

    return insert_into_postgresql(table).on_conflict_do_nothing()
