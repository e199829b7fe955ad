"""What follows the structure set: objects of other kinds, and sets for destinations that have not asked yet.

The set has left; each object leaves as soon as it is there. The ledger knows each as a delivery that is being
made, so a process that dies between two of them is followed by one that contours the CT again and goes on
with the next. What fails here is an object's own: it ends its delivery, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.backlog.engine import DELIVER, Again
from service.backlog.ledger import LedgerRefused, contour_key, deliver_key
from service.backlog.ledger_objects import GOES_ON
from service.backlog.records import DeliveryState
from service.config.output_objects import PICTURES
from service.contouring.job_files import JobFiles
from service.contouring.object_files import sop_instance_uid
from service.contouring.tries import is_told_at, once_more, tries_for
from service.errors import (
    ConfigInvalid,
    ModelRefused,
    NodeError,
    SegmentationFailed,
    SeriesRefused,
    SpoolUnavailable,
    StructureSetInvalid,
)
from service.failpoints import reach
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.notify import Notifies
    from service.backlog.records import Delivery, Job
    from service.backlog.spool import Spool
    from service.config.output_objects import ObjectKind
    from service.config.reader import LoadedSite
    from service.contouring.contoured_ct import ContouredCt
    from service.contouring.model_queue import ModelQueue

_log = EventLog("contouring")


class FurtherObjects:
    """Makes them.

    Args:
        site, ledger, engine, spool, notify: as the worker has them.
        models: for a CT that has to be contoured again, since the process before this one died.
    """

    def __init__(
        self,
        site: Callable[[], LoadedSite],
        ledger: Ledger,
        engine: EngineClient,
        spool: Spool,
        models: ModelQueue,
        notify: Notifies,
    ) -> None:
        self._site = site
        self._ledger = ledger
        self._engine = engine
        self._spool = spool
        self._models = models
        self._notify = notify

    def go_on(self, job_id: str, tries: int) -> Again | None:
        """Make what is still to be made of a job whose set was handed over, if anything is."""
        try:
            job = self._ledger.job(job_id)
        except LedgerRefused:
            return None
        if job.state not in GOES_ON or not self._ledger.being_made(job.id):
            return None
        files = JobFiles(job, self._site(), self._ledger, self._spool)
        return self.make(job, files, None, tries)

    def make(self, job: Job, files: JobFiles, done: ContouredCt | None, tries: int) -> Again | None:
        """Make what follows the job's set; without ``done`` its CT is contoured again.

        Returns:
            When to come again, or None if nothing is left to do.
        """
        reach("objects.begin")
        try:
            if done is None:
                done = files.contour(self._models)
                files.must_be_that_of(done)
            files.write_later_sets(done)
            for kind in self._kinds(job.id):
                self._make_one(job, files, done, kind)
        except (SeriesRefused, ModelRefused, StructureSetInvalid, ConfigInvalid) as error:
            self.give_up(job.id, error.code, error.sentence)
        except (SegmentationFailed, SpoolUnavailable) as error:
            return self._again(job, tries, error)
        return None

    def give_up(self, job_id: str, code: str, sentence: str, kind: ObjectKind | None = None) -> bool:
        """No more of a job (of one kind, if named) is made; whether anything was still to be made."""
        wanted = [each for each in self._ledger.being_made(job_id) if kind in (None, each.kind)]
        if not wanted:
            return False
        for what in dict.fromkeys(each.noun for each in wanted):  # told twice after a crash rather than never
            self._notify.tell(code, f"No {what} was made. {sentence}", job_id)
        with self._ledger.begin() as conn:
            self._ledger.end_making(conn, job_id, code, sentence, kind)
        _log.warning("objects.not-made", job=job_id, code=code)
        return True

    def _kinds(self, job_id: str) -> list[ObjectKind]:
        """What is still to be made; pictures, which cost most and matter least, at the end."""
        kinds = dict.fromkeys(each.kind for each in self._ledger.being_made(job_id))
        return sorted(kinds, key=lambda kind: kind in PICTURES)

    def _make_one(self, job: Job, files: JobFiles, done: ContouredCt, kind: ObjectKind) -> None:
        """Make one object and let it leave; its failure is no other's.

        Raises:
            SpoolUnavailable: the disk is full, read-only or failing: no failure of the object.
        """
        wanted = [each for each in self._ledger.being_made(job.id) if each.kind is kind]
        if not wanted:
            return  # cancelled, or overtaken, meanwhile
        try:
            files.write_object(done, wanted[0])
        except SpoolUnavailable:
            raise
        except StructureSetInvalid as error:
            self.give_up(job.id, error.code, error.sentence, kind)
            return
        except Exception as error:  # noqa: BLE001 one object of several
            _log.failure("objects.failed", error, job=job.id)
            sentence = f"Making it failed in an unforeseen way. See the log; then `delineate retry {job.id}`."
            self.give_up(job.id, "object.failed", sentence, kind)
            return
        reach("objects.after-file")
        with self._ledger.begin() as conn:
            for each in wanted:
                made = self._ledger.object_made(conn, each.id, sop_instance_uid(each.file))
                if made.state is DeliveryState.WAITING:
                    self._submit(conn, made, job.priority)
        reach("objects.after-commit")

    def _submit(self, conn: sa.Connection, made: Delivery, priority: int) -> None:
        key = deliver_key(made.id)
        self._engine.submit(conn, DELIVER, key, str(made.id), priority=priority, partition=made.destination)

    def _again(self, job: Job, tries: int, error: NodeError) -> Again | None:
        if not error.retry or tries >= tries_for(error):
            self.give_up(job.id, error.code, error.sentence)
            return None
        with self._ledger.begin() as conn:
            key = contour_key(job.id, self._ledger.next_submission(conn, job.id))
        _log.warning("objects.again", job=job.id, code=error.code, attempt=tries)
        if is_told_at(tries, error):
            self._notify.tell(error.code, error.sentence, job.id)
        return once_more(job, key, tries, error)
