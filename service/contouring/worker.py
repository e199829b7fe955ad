"""The handler of the queue ``contour``: one job from its CT's files to structure sets that wait for delivery.

Files first, then one transaction: a crash between the two finds the files again and sends those, because
their bytes must not change under a SOP Instance UID that may have left. The set leaves first; what else its
destinations get is in the ledger from then on and made after it (:mod:`service.contouring.further_objects`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from service.backlog.engine import DELIVER, Again, EngineClient
from service.backlog.ledger import Ledger, LedgerRefused, contour_key, deliver_key
from service.backlog.notify import Notifies
from service.backlog.records import DeliveryState, Job, JobState, Mode
from service.backlog.spool import Spool, write_durably
from service.config.output_objects import ObjectKind
from service.config.reader import LoadedSite
from service.contouring.further_objects import FurtherObjects
from service.contouring.job_files import JobFiles
from service.contouring.job_result import JobResult
from service.contouring.model_queue import JOBS_A_MODEL, ModelQueue
from service.contouring.second_look import HELD, held_because
from service.contouring.tries import is_told_at, once_more, tries_for
from service.contouring.warming import warm_models
from service.dicom.ct_geometry import GRID_FILE, grid_as_json
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
    from service.contouring.contoured_ct import ContouredCt
    from service.contouring.segment import ModelClient

_log = EventLog("contouring")


class ContourWorker:
    """Handler of the engine's queue ``contour``.

    Args:
        site: the configuration in force now; destinations' profiles come from it.
        ledger, engine, spool: of this node.
        models: one client for each GPU; as many jobs are segmented at a time, beside others that are
            decoded or written.
        notify: told of refusals and of jobs that are set aside.
    """

    def __init__(
        self,
        site: Callable[[], LoadedSite],
        ledger: Ledger,
        engine: EngineClient,
        spool: Spool,
        models: tuple[ModelClient, ...],
        notify: Notifies,
    ) -> None:
        self._site = site
        self._ledger = ledger
        self._engine = engine
        self._spool = spool
        self._notify = notify
        self._models = ModelQueue(models)
        self._further = FurtherObjects(site, ledger, engine, spool, self._models, notify)

    @property
    def jobs_at_once(self) -> int:
        """How many jobs keep the models busy."""
        return JOBS_A_MODEL * self._models.count

    def warm(self) -> None:
        """Have each model process load the models of the configuration before the first CT waits for them."""
        for _ in range(self._models.count):
            with self._models.model() as models:
                warm_models(models, self._site())

    def contour(self, payload: str) -> Again | None:
        """Contour the job that ``payload`` names (``id`` or ``id#tries``).

        Returns:
            When to come again, or None if nothing is left to do.
        """
        job_id, _, tries = payload.partition("#")
        reach("contour.queued")
        job = self._begin(job_id)
        if job is None:
            return self._further.go_on(job_id, int(tries or 1))
        _log.info("contour.started", job=job.id, protocol=job.protocol, files=len(job.files), attempt=job.run)
        try:
            files = JobFiles(job, self._site(), self._ledger, self._spool)
            made, done = self._make(files)
        except (SeriesRefused, ModelRefused) as error:
            self._end(job, JobState.REFUSED, error)
        except (StructureSetInvalid, ConfigInvalid) as error:
            self._end(job, JobState.FAILED, error)
        except (SegmentationFailed, SpoolUnavailable) as error:
            return self._again(job, int(tries or 1), error)
        else:
            if self._hand_over(job, made, files):
                return self._further.make(job, files, done, int(tries or 1))
        return None

    def _begin(self, job_id: str) -> Job | None:
        """The job, now CONTOURING; None if nobody wants it contoured any more."""
        try:
            with self._ledger.begin() as conn:
                states = {JobState.QUEUED, JobState.CONTOURING}
                return self._ledger.move_job(conn, job_id, JobState.CONTOURING, only_from=states)
        except LedgerRefused as refused:
            _log.info("contour.not-wanted", job=job_id, code=refused.code)
            return None

    def _make(self, files: JobFiles) -> tuple[JobResult, ContouredCt | None]:
        """The sets that are awaited, in their files; and the contoured CT, unless they were there."""
        earlier = JobResult.read(files.folder)
        sets = [each for each in files.awaited if each.kind is ObjectKind.RTSTRUCT]
        if earlier is not None and all(each.file.exists() for each in sets):
            return earlier, None
        done = files.contour(self._models)
        files.write_first_sets(done)
        write_durably(files.folder / GRID_FILE, grid_as_json(done.series.grid))
        reach("contour.after-file")
        made = JobResult.of(done)
        made.write(files.folder)
        return made, done

    def _hand_over(self, job: Job, made: JobResult, files: JobFiles) -> bool:
        """Record what was made and submit its deliveries, unless the job was taken away meanwhile.

        Returns:
            Whether anything is still to be made of it.
        """
        reach("contour.before-commit")
        with self._ledger.begin() as conn:
            present = self._ledger.locked_job(conn, job.id)
            if _is_overtaken(job, present):
                _log.info("contour.overtaken", job=job.id, state=present.state.value)
                return False
            self._ledger.record_segmentation(
                conn, job.id, made.provenance, made.findings, made.volumes_cm3, made.seconds
            )
            if present.mode is Mode.SHADOW or not job.destinations:
                self._ledger.move_job(conn, job.id, JobState.DONE, code="job.nothing-to-send")
                return False
            why = held_because(made.findings)
            held = present.mode is Mode.HOLD or why is not None
            made_now = DeliveryState.HELD if held else DeliveryState.WAITING
            for each in files.awaited:
                delivery = self._ledger.create_delivery(
                    conn,
                    job_id=job.id,
                    destination=each.destination,
                    kind=each.kind,
                    file=each.file,
                    sop_instance_uid=files.sop_instance_uid(each),
                    state=made_now if each.file.exists() else DeliveryState.MAKING,
                )
                if delivery.state is DeliveryState.WAITING:
                    key = deliver_key(delivery.id)
                    self._engine.submit(
                        conn, DELIVER, key, str(delivery.id),
                        priority=present.priority, partition=each.destination,
                    )  # fmt: skip
            state, code = JobState.HELD if held else JobState.DELIVERING, None if why is None else HELD
            self._ledger.move_job(conn, job.id, state, code=code, sentence=why)
            if why is not None:
                self._notify.tell(HELD, why, job.id)
            self._ledger.settle_job(conn, job.id)  # tried again, and all of it had arrived
            to_follow = bool(self._ledger.being_made(job.id, conn))
        _log.info("contour.done", job=job.id, structures=len(made.volumes_cm3), count=len(job.destinations))
        return to_follow

    def _end(self, job: Job, state: JobState, error: NodeError) -> None:
        with self._ledger.begin() as conn:
            if _is_overtaken(job, self._ledger.locked_job(conn, job.id)):
                return
            self._ledger.move_job(conn, job.id, state, code=error.code, sentence=error.sentence)
            self._notify.tell(error.code, error.sentence, job.id)  # twice after a crash rather than never
        _log.warning("contour.ended", job=job.id, state=state.value, code=error.code)

    def _again(self, job: Job, tries: int, error: NodeError) -> Again | None:
        if not error.retry or tries >= tries_for(error):
            self._end(job, JobState.FAILED, error)
            return None
        with self._ledger.begin() as conn:
            if _is_overtaken(job, self._ledger.locked_job(conn, job.id)):
                return None  # cancelled, or further slices came: a failure brings nothing back
            self._ledger.move_job(conn, job.id, JobState.QUEUED, code=error.code, sentence=error.sentence)
            key = contour_key(job.id, self._ledger.next_submission(conn, job.id))
        _log.warning("contour.again", job=job.id, code=error.code, attempt=tries)
        if is_told_at(tries, error):
            self._notify.tell(error.code, error.sentence, job.id)  # once; it goes on by itself
        return once_more(job, key, tries, error)

    def gave_up(self, payload: str) -> None:
        """The engine set a job aside, because this process died under it again and again."""
        job_id = payload.partition("#")[0]
        code = "contour.set-aside"
        sentence = (
            "Contouring this CT failed in an unforeseen way, or ended the worker process again and again. "
            f"The log says where; then `delineate retry {job_id}`."
        )
        if self._further.give_up(job_id, code, sentence):
            return  # its set has left and goes its own way
        try:
            with self._ledger.begin() as conn:
                taken = (JobState.QUEUED, JobState.CONTOURING)
                self._ledger.move_job(
                    conn, job_id, JobState.FAILED, code=code, sentence=sentence, only_from=taken
                )
        except LedgerRefused:
            return
        self._notify.tell(code, sentence, job_id)


def _is_overtaken(job: Job, present: Job) -> bool:
    """Whether somebody took the job away while it was contoured."""
    return present.state is not JobState.CONTOURING or present.run != job.run
