"""The ledger's part for contouring: jobs, their states, and what the model said."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from models.volume import Finding, Provenance
from service.backlog import ledger_tables as tables
from service.backlog.database import LedgerRefused, now
from service.backlog.ledger_series import SeriesLedger
from service.backlog.records import JOB_ARROWS, Job, JobState, Mode
from service.backlog.trial_names import no_shadow

_LETTERS: Final = "23456789abcdefghjkmnpqrstuvwxyz"  # none that is mistaken for another on the telephone
_ID_LENGTH: Final = 8


class JobLedger(SeriesLedger):
    """Jobs and where they are."""

    def create_job(  # noqa: PLR0913 one row
        self,
        conn: sa.Connection,
        *,
        series_id: int,
        protocol: str,
        destinations: Sequence[str],
        mode: Mode,
        priority: int,
        files: Sequence[Path],
        config_version: str,
        routes: Sequence[str] = (),
        when_sent_again: str = "send_same",
        notes: Sequence[str] = (),
        predecessor: str | None = None,
        state: JobState = JobState.QUEUED,
    ) -> Job:
        """Create the job of (series, protocol, the series' revision), or return the one that exists."""
        series = self.locked_series(conn, series_id)
        existing = self._select(conn, tables.job.c.series_id == series_id, tables.job.c.protocol == protocol)
        for job in existing:
            if job.revision == series.revision:
                return job
        at = now()
        values: dict[str, Any] = {
            "series_id": series_id,
            "protocol": protocol,
            "revision": series.revision,
            "destinations": list(destinations),
            "mode": Mode(mode).value,
            "priority": priority,
            "routes": list(routes),
            "when_sent_again": when_sent_again,
            "files": [self._file_name(file, series.folder) for file in files],
            "notes": list(notes),
            "config_version": config_version,
            "predecessor": predecessor,
            "state": state.value,
            "run": 0,
            "submissions": 1,
            "created_at": at,
            "updated_at": at,
        }
        job_id = _new_id(conn)
        conn.execute(sa.insert(tables.job).values(id=job_id, **values))
        facts = {
            "protocol": protocol,
            "mode": values["mode"],
            "revision": series.revision,
            "priority": priority,
        }
        self.add_event(conn, job_id=job_id, series_id=series_id, code=f"job.{state.value}", facts=facts)
        return self.job(job_id, conn)

    def job(self, job_id: str, conn: sa.Connection | None = None) -> Job:
        """A job by its id; within the caller's transaction if one is given.

        Raises:
            LedgerRefused: there is none.
        """
        with self._joined(conn) as joined:
            found = self._select(joined, tables.job.c.id == job_id)
        if not found:
            code = "ledger.no-such-job"
            raise LedgerRefused(code, "The ledger holds no such job. `delineate jobs` lists those it holds.")
        return found[0]

    def locked_job(self, conn: sa.Connection, job_id: str) -> Job:
        """A job that no other transaction changes before this one ends.

        Always locked before the job's deliveries, so that two transactions never wait for one another.
        """
        conn.execute(sa.select(tables.job.c.id).where(tables.job.c.id == job_id).with_for_update())
        return self.job(job_id, conn)

    def find_jobs(
        self,
        state: JobState | Collection[JobState] | None = None,
        patient_id: str | None = None,
        study_uid: str | None = None,
        limit: int | None = 100,
    ) -> list[Job]:
        """Jobs that match everything given, newest first."""
        conditions: list[sa.ColumnElement[bool]] = []
        if state is not None:
            states = [state] if isinstance(state, JobState) else list(state)
            conditions.append(tables.job.c.state.in_([each.value for each in states]))
        if patient_id is not None:
            conditions.append(tables.series.c.patient_id == patient_id)
        if study_uid is not None:
            conditions.append(tables.series.c.study_instance_uid == study_uid)
        with self.reading() as conn:
            return self._select(conn, *conditions, limit=limit)

    def awaits_contouring(self, created_since: float = float("inf")) -> bool:
        """Whether a job waits for a model or is in one, or was made since then; shadows do not count."""
        return self._awaits(no_shadow(tables.job.c.protocol), created_since)

    def awaits_shadows(self) -> bool:
        """Whether a shadow waits for a model, or is in one."""
        return self._awaits(~no_shadow(tables.job.c.protocol), float("inf"))

    def _awaits(self, which: sa.ColumnElement[bool], created_since: float) -> bool:
        t = tables.job
        under_way = t.c.state.in_([JobState.QUEUED.value, JobState.CONTOURING.value])
        query = sa.select(t.c.id).where(under_way | (t.c.created_at > created_since), which).limit(1)
        with self.reading() as conn:
            return conn.execute(query).first() is not None

    def latest_job(
        self, series_instance_uid: str, protocol: str, conn: sa.Connection | None = None
    ) -> Job | None:
        """The job of the newest revision of (series, protocol)."""
        jobs = self.jobs_of_series(series_instance_uid, conn)
        return max(
            (job for job in jobs if job.protocol == protocol), key=lambda job: job.revision, default=None
        )

    def jobs_of_series(self, series_instance_uid: str, conn: sa.Connection | None = None) -> list[Job]:
        """All jobs of a series, newest first."""
        with self._joined(conn) as joined:
            return self._select(joined, tables.series.c.series_instance_uid == series_instance_uid)

    def move_job(  # noqa: PLR0913 one row
        self,
        conn: sa.Connection,
        job_id: str,
        to: JobState,
        *,
        code: str | None = None,
        sentence: str | None = None,
        only_from: Collection[JobState] | None = None,
        who: str | None = None,
    ) -> Job:
        """Move a job along one of ``JOB_ARROWS`` and return it as it is now.

        Each move to CONTOURING counts as a new ``run``. ``only_from`` narrows the states it may come from.

        Raises:
            LedgerRefused: the job is in a state that does not lead there.
        """
        t = tables.job
        job = self.locked_job(conn, job_id)
        present = job.state
        if to not in JOB_ARROWS[present] or (only_from is not None and present not in only_from):
            refusal = f"Job {job_id} is {present.value} and cannot become {to.value}."
            raise LedgerRefused("job.not-possible", refusal)
        values: dict[str, Any] = {"state": to.value, "code": code, "sentence": sentence, "updated_at": now()}
        if to is JobState.CONTOURING:
            values |= {"run": t.c.run + 1, "purged_at": None}  # it is going to have files again
        if to is JobState.QUEUED:
            values["contoured_at"] = None
        conn.execute(sa.update(t).where(t.c.id == job_id).values(**values))
        self.add_event(
            conn,
            job_id=job_id,
            series_id=job.series_id,
            code=code or f"job.{to.value}",
            sentence=sentence,
            facts={"from": present.value, "state": to.value},
            who=who,
        )
        return self.job(job_id, conn)

    def change_job(
        self,
        conn: sa.Connection,
        job_id: str,
        *,
        mode: Mode | None = None,
        priority: int | None = None,
        who: str | None = None,
    ) -> Job:
        """Change how a job is treated from now on."""
        values: dict[str, Any] = {}
        if mode is not None:
            values["mode"] = mode.value
        if priority is not None:
            values["priority"] = priority
        job = self.job(job_id, conn)
        if values:
            conn.execute(
                sa.update(tables.job).where(tables.job.c.id == job_id).values(**values, updated_at=now())
            )
            self.add_event(
                conn, job_id=job_id, series_id=job.series_id, code="job.changed", facts=values, who=who
            )
        return self.job(job_id, conn)

    def next_submission(self, conn: sa.Connection, job_id: str) -> int:
        """A number for the job's next key in the engine; 1 is the first submission, made at creation."""
        t = tables.job
        conn.execute(sa.update(t).where(t.c.id == job_id).values(submissions=t.c.submissions + 1))
        return int(conn.execute(sa.select(t.c.submissions).where(t.c.id == job_id)).scalar_one())

    def submissions(self, job_id: str, conn: sa.Connection | None = None) -> int:
        """The number of the last key that the job had in the engine."""
        with self._joined(conn) as joined:
            return int(
                joined.execute(
                    sa.select(tables.job.c.submissions).where(tables.job.c.id == job_id)
                ).scalar_one()
            )

    def record_segmentation(
        self,
        conn: sa.Connection,
        job_id: str,
        provenance: Provenance,
        findings: Sequence[Finding],
        volumes_cm3: Mapping[str, float],
        seconds: Mapping[str, float],
    ) -> None:
        """Keep what the model said; a second run replaces what the first one said."""
        values = {
            "provenance": asdict(provenance),
            "volumes_cm3": dict(volumes_cm3),
            "seconds": dict(seconds),
            "contoured_at": now(),
        }
        conn.execute(
            sa.update(tables.job).where(tables.job.c.id == job_id).values(**values, updated_at=now())
        )
        conn.execute(sa.delete(tables.finding).where(tables.finding.c.job_id == job_id))
        for finding in findings:
            row = {"code": finding.code, "sentence": finding.sentence, "structure": finding.structure}
            conn.execute(
                sa.insert(tables.finding).values(job_id=job_id, severity=finding.severity.value, **row)
            )
        facts = {"model": provenance.model, "version": provenance.version, "structures": len(volumes_cm3)}
        self.add_event(conn, job_id=job_id, code="job.contoured", facts=facts)

    def _select(
        self, conn: sa.Connection, *conditions: sa.ColumnElement[bool], limit: int | None = None
    ) -> list[Job]:
        j, s = tables.job, tables.series
        query = (
            sa.select(j, s.c.folder.label("series_folder"))
            .join(s, j.c.series_id == s.c.id)
            .where(*conditions)
        )
        query = query.order_by(j.c.created_at.desc(), j.c.revision.desc()).limit(limit)
        return [self._job_of(row) for row in conn.execute(query).mappings()]

    def _job_of(self, row: sa.RowMapping) -> Job:
        folder = self._found(row["series_folder"])
        same = ("id", "series_id", "protocol", "priority", "config_version", "predecessor", "revision", "run")
        return Job(
            **{name: row[name] for name in (*same, "code", "sentence", "created_at", "updated_at")},
            folder=folder,
            files=tuple(folder / name if "/" not in name else self._found(name) for name in row["files"]),
            destinations=tuple(row["destinations"]),
            mode=Mode(row["mode"]),
            state=JobState(row["state"]),
            notes=tuple(row["notes"]),
            routes=tuple(row["routes"]),
            when_sent_again=row["when_sent_again"],
            contoured=row["contoured_at"] is not None,
        )

    def _file_name(self, file: Path, folder: Path) -> str:
        """A slice as it is kept: by its bare name if it lies in the series' folder."""
        return file.name if file.parent.absolute() == folder.absolute() else self._stored(file)


def _new_id(conn: sa.Connection) -> str:
    while True:
        job_id = "".join(secrets.choice(_LETTERS) for _ in range(_ID_LENGTH))
        if conn.execute(sa.select(tables.job.c.id).where(tables.job.c.id == job_id)).first() is None:
            return job_id
