"""The handler of the queue ``contour``: one job from its CT's files to structure sets that wait for delivery.

Files first, then one transaction: a crash between the two finds the files again and sends those, because
their bytes must not change under a SOP Instance UID that may have left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from service.backlog.contouring_progress import told_in
from service.backlog.engine import DELIVER, Again, EngineClient
from service.backlog.ledger import Ledger, LedgerRefused, contour_key, deliver_key
from service.backlog.notify import Notifies
from service.backlog.records import DeliveryState, Job, JobState, Mode
from service.backlog.spool import Spool, write_durably, write_once
from service.backlog.trial_names import configured_name, is_shadow
from service.config.output_objects import ObjectKind
from service.config.protocol import Protocol
from service.config.reader import LoadedSite, parse
from service.config.shadow import in_the_shadow
from service.contouring.contoured_ct import ContouredCt, SetOrigin, contour_ct, site_time
from service.contouring.job_result import JobResult
from service.contouring.model_queue import JOBS_A_MODEL, ModelQueue
from service.contouring.object_files import (
    Awaited,
    awaited_of,
    profiles_for,
    set_file,
    sop_instance_uid,
    write_others,
)
from service.contouring.profiles import Profile
from service.contouring.receiver_checks import OF_THE_RECEIVER
from service.contouring.second_look import HELD, held_because
from service.contouring.set_texts import Replaced
from service.contouring.tries import GaveWay, is_told_at, tries_for, wait_after
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
    from service.config.site import Destination
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
            return None
        _log.info("contour.started", job=job.id, protocol=job.protocol, files=len(job.files), attempt=job.run)
        try:
            made, awaited = self._make(job)
        except (SeriesRefused, ModelRefused) as error:
            self._end(job, JobState.REFUSED, error)
        except (StructureSetInvalid, ConfigInvalid) as error:
            self._end(job, JobState.FAILED, error)
        except (SegmentationFailed, SpoolUnavailable) as error:
            return self._again(job, int(tries or 1), error)
        else:
            self._hand_over(job, made, awaited)
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

    def _make(self, job: Job) -> tuple[JobResult, list[Awaited]]:
        """What was made, and the objects that wait to be sent."""
        site = self._site()
        routed = parse(self._ledger.config_text(job.config_version), site.path, check_bundles=False)
        loaded = routed.under(site.site)  # of the job's own version only protocols count, not `node:`
        protocol = _protocol_of(job, loaded)
        folder = self._spool.job_folder(job.id)
        awaited = awaited_of(folder, self._receivers(job), site.site)
        earlier = JobResult.read(folder)
        if earlier is not None:
            possible = [each for each in awaited if each.kind.value not in earlier.not_made]
            if all(each.file.exists() for each in possible):
                return earlier, possible
        with told_in(folder, job.run) as tell:
            done = contour_ct(job.files, loaded, protocol, self._models.turn(job.priority), tell)
        elsewhere = () if is_shadow(job.protocol) else site.site.destinations.values()
        for profile in profiles_for(awaited, elsewhere, site.site):
            self._write(job, loaded, done, profile, awaited)
        made = JobResult.of(done, self._write_others(job, loaded, done, awaited))
        write_durably(folder / GRID_FILE, grid_as_json(done.series.grid))
        reach("contour.after-file")
        made.write(folder)
        return made, [each for each in awaited if each.kind.value not in made.not_made]

    def _write_others(
        self, job: Job, loaded: LoadedSite, done: ContouredCt, awaited: Sequence[Awaited]
    ) -> dict[ObjectKind, StructureSetInvalid]:
        refused = write_others(done, loaded, awaited, partial(self._origin, job, loaded))
        for kind, error in refused.items():  # told twice after a crash rather than never
            self._notify.tell(error.code, f"No {kind.value} was made. {error.sentence}", job.id)
        return refused

    def _origin(self, job: Job, loaded: LoadedSite, file: Path) -> SetOrigin:
        # The run is part of the UID: a set made again, its file having been purged, is another instance.
        key = f"{job.id} {job.run}"
        return SetOrigin(key, site_time(loaded), job.notes, self._replaces(job, loaded, file))

    def _write(
        self, job: Job, loaded: LoadedSite, done: ContouredCt, profile: Profile, awaited: Sequence[Awaited]
    ) -> None:
        """Write the set for one profile, unless it is there: what may have left stays as it is.

        It may come to be there while we write: another host runs the job, since it took this one for dead.
        """
        file = set_file(self._spool.job_folder(job.id), profile)
        if file.exists():
            return
        is_awaited = file in [each.file for each in awaited]
        try:
            write_once(file, done.structure_set(loaded, profile, self._origin(job, loaded, file)))
        except StructureSetInvalid as error:
            if is_awaited or error.code not in OF_THE_RECEIVER:
                raise
            # Only a destination that this job does not go to wants another CT than this one.
            _log.info("contour.no-set-for-profile", job=job.id, code=error.code)

    def _receivers(self, job: Job) -> dict[str, Destination | None]:
        address = self._ledger.series(job.series_id).sender_address
        return {name: self._site().destination(name, address) for name in job.destinations}

    def _replaces(self, job: Job, loaded: LoadedSite, file: Path) -> Replaced | None:
        """The set that the one in ``file`` replaces: the job before's for the same receivers."""
        if job.predecessor is None:
            return None
        before = self._ledger.job(job.predecessor)
        sets = self._ledger.deliveries(before.id)
        delivered = [each.file for each in sets if each.kind is ObjectKind.RTSTRUCT]
        same_receivers = self._spool.job_folder(before.id) / file.relative_to(self._spool.job_folder(job.id))
        earlier = next((each for each in [same_receivers, *delivered] if each.exists()), None)
        if earlier is None:
            return None
        made_at = site_time(loaded, earlier.stat().st_mtime)
        return Replaced(sop_instance_uid(earlier), made_at, len(before.files))

    def _hand_over(self, job: Job, made: JobResult, awaited: Sequence[Awaited]) -> None:
        """Record what was made and submit its deliveries, unless the job was taken away meanwhile."""
        reach("contour.before-commit")
        with self._ledger.begin() as conn:
            present = self._ledger.locked_job(conn, job.id)
            if _is_overtaken(job, present):
                _log.info("contour.overtaken", job=job.id, state=present.state.value)
                return
            self._ledger.record_segmentation(
                conn, job.id, made.provenance, made.findings, made.volumes_cm3, made.seconds
            )
            if present.mode is Mode.SHADOW or not job.destinations:
                self._ledger.move_job(conn, job.id, JobState.DONE, code="job.nothing-to-send")
                return
            why = held_because(made.findings)
            held = present.mode is Mode.HOLD or why is not None
            for each in awaited:
                delivery = self._ledger.create_delivery(
                    conn,
                    job_id=job.id,
                    destination=each.destination,
                    kind=each.kind,
                    file=each.file,
                    sop_instance_uid=sop_instance_uid(each.file),
                    state=DeliveryState.HELD if held else DeliveryState.WAITING,
                )
                if not held:
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
        _log.info("contour.done", job=job.id, structures=len(made.volumes_cm3), count=len(job.destinations))

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
        counted = tries + (not isinstance(error, GaveWay))
        return Again(key, f"{job.id}#{counted}", wait_after(tries, error), priority=job.priority)

    def gave_up(self, payload: str) -> None:
        """The engine set a job aside, because this process died under it again and again."""
        job_id = payload.partition("#")[0]
        code = "contour.set-aside"
        sentence = (
            "Contouring this CT failed in an unforeseen way, or ended the worker process again and again. "
            f"The log says where; then `delineate retry {job_id}`."
        )
        try:
            with self._ledger.begin() as conn:
                self._ledger.move_job(conn, job_id, JobState.FAILED, code=code, sentence=sentence)
        except LedgerRefused:
            return
        self._notify.tell(code, sentence, job_id)


def _protocol_of(job: Job, loaded: LoadedSite) -> Protocol:
    """What the configuration that routed the job says of its protocol, or of the candidate beside that."""
    protocol = loaded.protocol(configured_name(job.protocol))
    if protocol is None:
        code, sentence = "protocol.unknown", f"The configuration has no protocol {job.protocol} any more."
        raise ModelRefused(code, sentence)
    return in_the_shadow(protocol, loaded.bundle_folders) if is_shadow(job.protocol) else protocol


def _is_overtaken(job: Job, present: Job) -> bool:
    """Whether somebody took the job away while it was contoured."""
    return present.state is not JobState.CONTOURING or present.run != job.run
