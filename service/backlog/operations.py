"""What people do to jobs: try again, cancel, hold, release, put first, send again; all of it or nothing.

The ledger's move and the engine's new row commit together. Rows of the engine that are no longer wanted are
cancelled after that; if the process dies in between, the handler finds the job's state changed and does
nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from service.backlog.database import now
from service.backlog.delivery_records import newest_of, was_never_made
from service.backlog.engine import CONTOUR, DELIVER, SHADOW, EngineClient
from service.backlog.forgotten_rows import any_with, end_commitment, submit_commitments
from service.backlog.ledger import Ledger, LedgerRefused, contour_key, deliver_key
from service.backlog.ledger_deliveries import OPEN
from service.backlog.records import Delivery, DeliveryState, Job, JobState, Mode
from service.backlog.trial_names import is_shadow, why_never_sent
from service.config.output_objects import ObjectKind

_WANT_SENDING: Final = (DeliveryState.WAITING, DeliveryState.RETRYING, DeliveryState.SENDING)
_WANT_CONTOURING: Final = (JobState.QUEUED, JobState.CONTOURING)
_SETTLE_SECONDS: Final = 60.0


class Operations:
    """Changes to jobs by ``who``, a person's login, or None for the node itself."""

    def __init__(self, ledger: Ledger, engine: EngineClient, who: str | None = None) -> None:
        self._ledger = ledger
        self._engine = engine
        self._who = who

    def retry(self, job_id: str) -> Job:
        """Try a job again that ended badly: send what did not arrive, else contour it anew.

        Raises:
            LedgerRefused: it did not end badly, a newer one took its place, or what it needs was purged.
        """
        with self._ledger.begin() as conn:
            job = self._taken(conn, job_id)
            if job.state not in (JobState.FAILED, JobState.CANCELLED, JobState.REFUSED):
                refusal = f"Job {job_id} is {job.state.value}; retry a failed, refused or cancelled one."
                hint = " `resend` makes the next attempt now." if job.state is JobState.DELIVERING else ""
                raise LedgerRefused("job.not-possible", refusal + hint)
            self._must_be_newest(conn, job)
            dead = [each for each in self._newest(conn, job_id) if each.state is DeliveryState.DEAD]
            if job.state is JobState.FAILED and dead:
                self._bring_again(conn, job, dead)
            else:
                self._contour_again(conn, job, code="job.retried")
            return self._ledger.job(job_id, conn)

    def cancel(self, job_id: str) -> Job:
        """Give a job up: nothing more of it is contoured or sent; a running transfer is not broken off."""
        with self._ledger.begin() as conn:
            self._taken(conn, job_id)
            job = self._ledger.move_job(conn, job_id, JobState.CANCELLED, code="job.cancelled", who=self._who)
            stopped = [each for each in self._newest(conn, job_id) if each.state in OPEN]
            for each in stopped:
                self._ledger.move_delivery(conn, each.id, DeliveryState.CANCELLED, who=self._who)
        self._stop_rows(job_id, stopped)
        return job

    def hold(self, job_id: str) -> Job:
        """Keep a job from going on until it is released; one being contoured is held when that is done."""
        with self._ledger.begin() as conn:
            job = self._taken(conn, job_id)
            if job.state is JobState.CONTOURING:
                return self._ledger.change_job(conn, job_id, mode=Mode.HOLD, who=self._who)
            stopped = [each for each in self._newest(conn, job_id) if each.state in _WANT_SENDING]
            for each in stopped:
                self._ledger.move_delivery(conn, each.id, DeliveryState.HELD, who=self._who)
            possible = (JobState.QUEUED, JobState.DELIVERING)
            held = self._ledger.move_job(
                conn, job_id, JobState.HELD, code="job.held", only_from=possible, who=self._who
            )
        self._stop_rows(job_id, stopped, contouring=job.state is JobState.QUEUED)  # objects go on being made
        return held

    def release(self, job_id: str) -> Job:
        """Let a held job go on where it stopped.

        Raises:
            LedgerRefused: it is not held, or what it needs was purged.
        """
        with self._ledger.begin() as conn:
            job = self._taken(conn, job_id)
            if job.state is not JobState.HELD:
                raise LedgerRefused("job.not-possible", f"Job {job_id} is {job.state.value}, not held.")
            self._ledger.let_leave(conn, job_id)
            newest = self._newest(conn, job_id)
            held = [each for each in newest if each.state is DeliveryState.HELD]
            if held or {each.state for each in newest} & {DeliveryState.MAKING, DeliveryState.DEAD}:
                self._ledger.move_job(conn, job_id, JobState.DELIVERING, code="job.released", who=self._who)
                for each in held:
                    self._ledger.move_delivery(conn, each.id, DeliveryState.WAITING, who=self._who)
                    self._submit_delivery(conn, each)
                self._ledger.settle_job(conn, job_id)
            elif job.contoured:
                self._ledger.move_job(conn, job_id, JobState.DONE, code="job.released", who=self._who)
            else:
                self._contour_again(conn, job, code="job.released")
            return self._ledger.job(job_id, conn)

    def set_priority(self, job_id: str, priority: int) -> Job:
        """Change when a waiting job's turn comes; 1 is first.

        Raises:
            LedgerRefused: it no longer waits for contouring.
        """
        with self._ledger.begin() as conn:
            job = self._taken(conn, job_id)
            if job.state not in (JobState.QUEUED, JobState.HELD):
                refusal = f"Job {job_id} is {job.state.value}; priority counts while it waits for contouring."
                raise LedgerRefused("job.not-possible", refusal)
            key = contour_key(job_id, self._ledger.submissions(job_id, conn))
            self._engine.set_priority(conn, key, priority)
            return self._ledger.change_job(conn, job_id, priority=priority, who=self._who)

    def resend(
        self,
        job_id: str,
        destination: str,
        file: Path | None = None,
        sop_instance_uid: str | None = None,
        kind: ObjectKind = ObjectKind.RTSTRUCT,
    ) -> Delivery:
        """Send ``file`` of that kind, or without one everything that went there before, again.

        One that waits for its next attempt makes it now.

        Returns:
            The first of the deliveries; see :meth:`Ledger.resend` for what is refused.
        """
        waited = self._engine.under_way()
        with self._ledger.begin() as conn:
            job = self._ledger.job(job_id, conn)
            kinds = [kind]
            if file is None:
                went = [each for each in self._newest(conn, job_id) if each.destination == destination]
                kinds = [each.kind for each in went if not was_never_made(each)] or kinds
            made = [self._send_again(conn, job, destination, each, file, sop_instance_uid) for each in kinds]
        early = tuple(f"{DELIVER}:{each.id}:" for each in made if each.state is DeliveryState.RETRYING)
        self._engine.cancel_these(key for key in waited if key.startswith(early))
        return made[0]

    def set_aside(self, queue: str, payload: str) -> None:
        """What the ledger says of a row that the engine gave up; for :class:`EngineWorker`'s ``on_dead``."""
        sentence = "The node gave this up after it had failed in an unforeseen way. See the log, then retry."
        with self._ledger.begin() as conn:
            if queue in (CONTOUR, SHADOW):
                job = self._ledger.job(payload, conn)
                if job.state in (JobState.QUEUED, JobState.CONTOURING):
                    self._ledger.move_job(
                        conn, payload, JobState.FAILED, code="job.set-aside", sentence=sentence
                    )
                self._ledger.end_making(conn, payload, "job.set-aside", sentence)
                return
            sent = self._ledger.delivery(int(payload), conn)
            if sent.state in _WANT_SENDING:
                code = "delivery.set-aside"
                self._ledger.move_delivery(conn, sent.id, DeliveryState.DEAD, code=code, sentence=sentence)
                self._ledger.settle_job(conn, sent.job_id)

    def end_commitment(self, payload: str) -> None:
        """The same for a row of storage commitment: nobody is asked, or answered, any more."""
        end_commitment(self._ledger, payload)

    def reconcile(self) -> int:
        """Submit what the ledger says is waiting and the engine does not know; how many.

        Nothing should be found, but for a ledger that was restored from a backup, tables that were mended by
        hand, or a job that the engine gave up while the ledger could not be told so.
        """
        before = self._engine.under_way()
        queued = self._ledger.find_jobs(_WANT_CONTOURING, limit=None)
        jobs = [job for job in queued if _at_rest(job.updated_at)]
        jobs += map(self._ledger.job, self._ledger.jobs_being_made(now() - _SETTLE_SECONDS))
        waiting = self._ledger.open_deliveries()
        deliveries = [each for each in waiting if _at_rest(each.next_at or each.updated_at)]
        known = before | self._engine.under_way()
        found = submit_commitments(self._ledger, self._engine, known)
        for job in jobs:
            if not any_with(known, f"{CONTOUR}:{job.id}:"):
                with self._ledger.begin() as conn:
                    wanted = self._ledger.locked_job(conn, job.id).state in _WANT_CONTOURING
                    if wanted or self._ledger.being_made(job.id, conn):
                        self._submit_job(conn, job)
                        found += 1
        for each in deliveries:
            if not any_with(known, f"{DELIVER}:{each.id}:"):
                with self._ledger.begin() as conn:
                    if self._ledger.delivery(each.id, conn).state in _WANT_SENDING:
                        self._submit_delivery(conn, each)
                        found += 1
        return found

    def _taken(self, conn: sa.Connection, job_id: str) -> Job:
        """The job, kept from changes by others: its series first, as arrival does, then the job."""
        self._ledger.locked_series(conn, self._ledger.job(job_id, conn).series_id)
        return self._ledger.locked_job(conn, job_id)

    def _must_be_newest(self, conn: sa.Connection, job: Job) -> None:
        series_uid = self._ledger.series(job.series_id, conn).series_instance_uid
        newest = self._ledger.latest_job(series_uid, job.protocol, conn)
        if newest is not None and newest.id != job.id:
            refusal = (
                f"Job {job.id} was overtaken: {newest.id} contours the series as it is now. See that one."
            )
            raise LedgerRefused("job.overtaken", refusal)

    def _newest(self, conn: sa.Connection, job_id: str) -> list[Delivery]:
        """The newest delivery of each object to each destination."""
        return newest_of(self._ledger.deliveries(job_id, conn))

    def _contour_again(self, conn: sa.Connection, job: Job, code: str) -> None:
        self._must_have_its_ct(conn, job)
        self._ledger.move_job(conn, job.id, JobState.QUEUED, code=code, who=self._who)
        self._submit_job(conn, job)

    def _bring_again(self, conn: sa.Connection, job: Job, dead: list[Delivery]) -> None:
        """Send what did not arrive; what was never made is made first."""
        unmade = [each for each in dead if was_never_made(each)]
        for each in dead:
            if each not in unmade:
                self._send_again(conn, job, each.destination, each.kind)
        if unmade:
            self._must_have_its_ct(conn, job)
            if self._ledger.job(job.id, conn).state is not JobState.DELIVERING:
                self._ledger.move_job(conn, job.id, JobState.DELIVERING, code="job.retried", who=self._who)
            for each in unmade:
                self._ledger.make_again(conn, each, self._who)
            self._submit_job(conn, job)

    def _must_have_its_ct(self, conn: sa.Connection, job: Job) -> None:
        if self._ledger.series(job.series_id, conn).purged_at is not None:
            refusal = f"The CT of job {job.id} was purged. Send it again to have it contoured."
            raise LedgerRefused("ct.purged", refusal)

    def _send_again(
        self,
        conn: sa.Connection,
        job: Job,
        destination: str,
        kind: ObjectKind,
        file: Path | None = None,
        sop_instance_uid: str | None = None,
    ) -> Delivery:
        never = why_never_sent(job.protocol)
        if never is not None:
            raise LedgerRefused(*never)
        self._ledger.let_leave(conn, job.id, destination)
        known = {each.id for each in self._ledger.deliveries(job.id, conn)}
        delivery = self._ledger.resend(
            conn,
            job_id=job.id,
            destination=destination,
            file=file,
            sop_instance_uid=sop_instance_uid,
            who=self._who,
            kind=kind,
        )
        if delivery.id not in known:
            key = deliver_key(delivery.id)
            self._engine.submit(conn, DELIVER, key, str(delivery.id), partition=destination)
        elif delivery.state is DeliveryState.RETRYING:
            self._ledger.move_delivery(conn, delivery.id, DeliveryState.WAITING, who=self._who)
            self._submit_delivery(conn, delivery)
        return delivery

    def _submit_job(self, conn: sa.Connection, job: Job) -> None:
        key = contour_key(job.id, self._ledger.next_submission(conn, job.id))
        self._engine.submit(conn, contour_queue(job), key, job.id, priority=job.priority)

    def _submit_delivery(self, conn: sa.Connection, delivery: Delivery) -> None:
        submission = self._ledger.next_delivery_submission(conn, delivery.id)
        key = deliver_key(delivery.id, delivery.attempts + 1, submission)
        self._engine.submit(conn, DELIVER, key, str(delivery.id), partition=delivery.destination)

    def _stop_rows(self, job_id: str, deliveries: list[Delivery], *, contouring: bool = True) -> None:
        if contouring:
            self._engine.cancel_all(f"{CONTOUR}:{job_id}:")
        for each in deliveries:
            if each.state is not DeliveryState.SENDING:  # let the running transfer say how it ended
                self._engine.cancel_all(f"{DELIVER}:{each.id}:")


def contour_queue(job: Job) -> str:
    """The queue that the job is contoured from."""
    return SHADOW if is_shadow(job.protocol) else CONTOUR


def _at_rest(since: float) -> bool:
    return now() - since > _SETTLE_SECONDS
