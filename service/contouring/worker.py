"""The handler of the queue ``contour``: one job from its CT's files to structure sets that wait for delivery.

Files first, then one transaction: a crash between the two finds the files again and sends those, because
their bytes must not change under a SOP Instance UID that may have left.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom

from service.backlog.contouring_progress import told_in
from service.backlog.engine import DELIVER, Again, EngineClient
from service.backlog.ledger import Ledger, LedgerRefused, contour_key, deliver_key
from service.backlog.notify import Notifies
from service.backlog.records import DeliveryState, Job, JobState, Mode
from service.backlog.spool import Spool, write_durably, write_once
from service.backlog.trial_names import configured_name, is_shadow
from service.config.protocol import Protocol
from service.config.reader import LoadedSite, parse
from service.config.shadow import in_the_shadow
from service.contouring.contoured_ct import ContouredCt, SetOrigin, contour_ct, site_time
from service.contouring.job_result import JobResult
from service.contouring.model_queue import JOBS_A_MODEL, ModelQueue
from service.contouring.profiles import Profile, profile_key, profile_named, profile_of
from service.contouring.receiver_checks import OF_THE_RECEIVER
from service.contouring.second_look import HELD, held_because
from service.contouring.set_texts import Replaced
from service.contouring.several_models import makers_in_words
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
            made, files = self._make(job)
        except (SeriesRefused, ModelRefused) as error:
            self._end(job, JobState.REFUSED, error)
        except (StructureSetInvalid, ConfigInvalid) as error:
            self._end(job, JobState.FAILED, error)
        except (SegmentationFailed, SpoolUnavailable) as error:
            return self._again(job, int(tries or 1), error)
        else:
            self._hand_over(job, made, files)
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

    def _make(self, job: Job) -> tuple[JobResult, dict[str, Path]]:
        """What was made, and the file for each destination."""
        site = self._site()
        routed = parse(self._ledger.config_text(job.config_version), site.path, check_bundles=False)
        loaded = routed.under(site.site)  # of the job's own version only protocols count, not `node:`
        protocol = _protocol_of(job, loaded)
        folder = self._spool.job_folder(job.id)
        profiles = {destination: self._profile(job, destination) for destination in job.destinations}
        files = {destination: set_file(folder, profile) for destination, profile in profiles.items()}
        earlier = JobResult.read(folder)
        if earlier is not None and all(file.exists() for file in files.values()):
            return earlier, files
        with told_in(folder, job.run) as tell:
            done = contour_ct(job.files, loaded, protocol, self._models.turn(job.priority), tell)
        said = done.segmentation
        findings = (*done.series.findings, *said.findings, *makers_in_words(said))
        made = JobResult(said.provenance, findings, done.volumes_cm3, dict(said.seconds))
        for profile in self._wanted(job, profiles):
            self._write(job, loaded, done, profile, set_file(folder, profile) in files.values())
        write_durably(folder / GRID_FILE, grid_as_json(done.series.grid))
        reach("contour.after-file")
        made.write(folder)
        return made, files

    def _write(
        self, job: Job, loaded: LoadedSite, done: ContouredCt, profile: Profile, is_awaited: bool
    ) -> None:
        """Write the set for one profile, unless it is there: what may have left stays as it is.

        It may come to be there while we write: another host runs the job, since it took this one for dead.
        """
        file = set_file(self._spool.job_folder(job.id), profile)
        if file.exists():
            return
        # The run is part of the UID: a set made again, its file having been purged, is another instance.
        key = f"{job.id} {job.run}"
        origin = SetOrigin(key, site_time(loaded), job.notes, self._replaces(job, loaded, file))
        try:
            write_once(file, done.structure_set(loaded, profile, origin))
        except StructureSetInvalid as error:
            if is_awaited or error.code not in OF_THE_RECEIVER:
                raise
            # Only a destination that this job does not go to wants another CT than this one.
            _log.info("contour.no-set-for-profile", job=job.id, code=error.code)

    def _wanted(self, job: Job, profiles: dict[str, Profile]) -> list[Profile]:
        """Profiles to make sets for: those of the job first, then those of all other destinations.

        A set that was made can be sent elsewhere later without contouring again; that of a shadow never is.
        """
        site = self._site().site
        elsewhere = () if is_shadow(job.protocol) else site.destinations.values()
        others = [profile_of(each, site) for each in elsewhere]
        every = {profile_key(profile): profile for profile in [*profiles.values(), *others]}
        return list(every.values()) or [profile_named("generic")]

    def _profile(self, job: Job, destination: str) -> Profile:
        found = self._site().destination(destination, self._ledger.series(job.series_id).sender_address)
        if found is None:  # the delivery will say that it is not configured; the set is made all the same
            return profile_named("generic")
        return profile_of(found, self._site().site)

    def _replaces(self, job: Job, loaded: LoadedSite, file: Path) -> Replaced | None:
        """The set that the one in ``file`` replaces: the job before's for the same receivers."""
        if job.predecessor is None:
            return None
        before = self._ledger.job(job.predecessor)
        delivered = [each.file for each in self._ledger.deliveries(before.id)]
        same_receivers = self._spool.job_folder(before.id) / file.name
        earlier = next((each for each in [same_receivers, *delivered] if each.exists()), None)
        if earlier is None:
            return None
        made_at = site_time(loaded, earlier.stat().st_mtime)
        return Replaced(sop_instance_uid(earlier), made_at, len(before.files))

    def _hand_over(self, job: Job, made: JobResult, files: dict[str, Path]) -> None:
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
            for destination, file in files.items():
                delivery = self._ledger.create_delivery(
                    conn,
                    job_id=job.id,
                    destination=destination,
                    file=file,
                    sop_instance_uid=sop_instance_uid(file),
                    state=DeliveryState.HELD if held else DeliveryState.WAITING,
                )
                if not held:
                    key = deliver_key(delivery.id)
                    self._engine.submit(
                        conn, DELIVER, key, str(delivery.id), priority=present.priority, partition=destination
                    )
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


def set_file(folder: Path, profile: Profile) -> Path:
    """Where the structure set for a profile lies in a job's folder."""
    return folder / f"rtstruct-{profile_key(profile)}.dcm"


def sop_instance_uid(file: Path) -> str:
    """SOP Instance UID of a structure set that we wrote, from its File Meta Information."""
    return str(pydicom.filereader.read_file_meta_info(file).MediaStorageSOPInstanceUID)
