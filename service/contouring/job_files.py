"""What one job makes, each in a file of its folder: sets that leave first, then everything that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from service.backlog.contouring_progress import told_in
from service.backlog.records import Mode
from service.backlog.spool import write_once
from service.backlog.trial_names import configured_name, is_shadow
from service.config.output_objects import ObjectKind
from service.config.reader import parse
from service.config.shadow import in_the_shadow
from service.contouring.contoured_ct import SetOrigin, contour_ct, instance_uid, site_time
from service.contouring.object_files import (
    Awaited,
    awaited_of,
    profiles_for,
    set_file,
    sop_instance_uid,
    write_object,
)
from service.contouring.profiles import profile_key
from service.contouring.read_back import check
from service.contouring.receiver_checks import OF_THE_RECEIVER
from service.contouring.set_texts import Replaced
from service.errors import ModelRefused, StructureSetInvalid
from service.log import EventLog

if TYPE_CHECKING:
    from pathlib import Path

    from service.backlog.ledger import Ledger
    from service.backlog.records import Delivery, Job
    from service.backlog.spool import Spool
    from service.config.protocol import Protocol
    from service.config.reader import LoadedSite
    from service.contouring.contoured_ct import ContouredCt
    from service.contouring.model_queue import ModelQueue
    from service.contouring.profiles import Profile

_log = EventLog("contouring")


class JobFiles:
    """The files of one job.

    Args:
        job: as the run that makes them took it.
        site: the configuration in force now; of the job's own version only protocols count.
        ledger, spool: of this node.

    Attributes:
        folder: where they lie.
        awaited: what the job's destinations are to get.
    """

    def __init__(self, job: Job, site: LoadedSite, ledger: Ledger, spool: Spool) -> None:
        self._job = job
        self._ledger = ledger
        self._spool = spool
        self._site = site
        routed = parse(ledger.config_text(job.config_version), site.path, check_bundles=False)
        self._loaded = routed.under(site.site)
        self.folder = spool.job_folder(job.id)
        address = ledger.series(job.series_id).sender_address
        receivers = {name: site.destination(name, address) for name in job.destinations}
        self.awaited: list[Awaited] = awaited_of(self.folder, receivers, site.site)

    @property
    def first(self) -> list[Profile]:
        """Profiles of the sets that leave before anything else is made; of all, if nothing else is."""
        wanted = [each.profile for each in self.awaited if each.kind is ObjectKind.RTSTRUCT]
        if self._job.mode is Mode.SHADOW or len(wanted) in (0, len(self.awaited)):
            return self._profiles()
        return list({profile_key(profile): profile for profile in wanted}.values())

    @property
    def later(self) -> list[Profile]:
        """Profiles of other destinations: what was made can be sent there later, without contouring again."""
        first = {profile_key(profile) for profile in self.first}
        return [profile for profile in self._profiles() if profile_key(profile) not in first]

    def contour(self, models: ModelQueue) -> ContouredCt:
        """The CT, with what the protocol's models say of it; see :func:`contour_ct` for what is raised."""
        job = self._job
        protocol = _protocol_of(job, self._loaded)
        with told_in(self.folder, job.run) as tell:
            return contour_ct(job.files, self._loaded, protocol, models.turn(job.priority), tell)

    def write_first_sets(self, done: ContouredCt) -> None:
        """Write the sets that leave first.

        Raises:
            StructureSetInvalid: one of them cannot be made, or is not what the segmentation says.
            SpoolUnavailable: the disk is full, read-only or failing.
        """
        awaited = [each.file for each in self.awaited]
        for profile in self.first:
            try:
                self._write_set(done, profile)
            except StructureSetInvalid as error:
                if set_file(self.folder, profile) in awaited or error.code not in OF_THE_RECEIVER:
                    raise
                # Only a destination that this job does not go to wants another CT than this one.
                _log.info("contour.no-set-for-profile", job=self._job.id, code=error.code)

    def write_later_sets(self, done: ContouredCt) -> None:
        """Write those of other destinations, as far as they can be made."""
        for profile in self.later:
            try:
                self._write_set(done, profile)
            except StructureSetInvalid as error:
                _log.warning("contour.no-set-for-profile", job=self._job.id, code=error.code)

    def _write_set(self, done: ContouredCt, profile: Profile) -> None:
        """Write the set for a profile, unless it is there: what may have left stays as it is.

        It may come to be there while we write: another host runs the job, since it took this one for dead.
        """
        file = set_file(self.folder, profile)
        if not file.exists():
            write_once(file, done.structure_set(self._loaded, profile, self._origin(file)))

    def write_object(self, done: ContouredCt, delivery: Delivery) -> None:
        """Write what a delivery is to bring and is no structure set, under the delivery's UID; see above.

        Raises:
            StructureSetInvalid: it cannot be made of this CT.
            SpoolUnavailable: the disk is full, read-only or failing.
        """
        file, kind = delivery.file, delivery.kind
        if file.exists():
            return
        authorship = done.authorship(self._loaded, self._origin(file), kind.value)
        wanted = [each.profile for each in self.awaited if each.kind is kind]
        sets = [set_file(self.folder, profile) for profile in wanted]
        authorship = replace(authorship, sop_instance_uid=delivery.sop_instance_uid)
        write_object(file, kind, done, authorship, sets)

    def must_be_that_of(self, done: ContouredCt) -> None:
        """Compare a CT that was contoured anew with the set that has left: what follows must say the same.

        Raises:
            StructureSetInvalid: it does not.
        """
        for profile in self.first:
            file = set_file(self.folder, profile)
            if file.exists():
                check(file.read_bytes(), done.segmentation, done.series, done.rois, profile.names)
                return

    def sop_instance_uid(self, each: Awaited) -> str:
        """Under which UID an object lies there, or will lie there once it is made."""
        if each.file.exists():
            return sop_instance_uid(each.file)
        return instance_uid(self._loaded, self._key, each.kind.value)

    @property
    def _key(self) -> str:
        # The run is part of the UID: a set made again, its file having been purged, is another instance.
        return f"{self._job.id} {self._job.run}"

    def _profiles(self) -> list[Profile]:
        elsewhere = () if is_shadow(self._job.protocol) else self._site.site.destinations.values()
        return profiles_for(self.awaited, elsewhere, self._site.site)

    def _origin(self, file: Path) -> SetOrigin:
        return SetOrigin(self._key, site_time(self._loaded), self._job.notes, self._replaces(file))

    def _replaces(self, file: Path) -> Replaced | None:
        """The set that the one in ``file`` replaces: the job before's for the same receivers."""
        if self._job.predecessor is None:
            return None
        before = self._ledger.job(self._job.predecessor)
        sets = self._ledger.deliveries(before.id)
        delivered = [each.file for each in sets if each.kind is ObjectKind.RTSTRUCT]
        same_receivers = self._spool.job_folder(before.id) / file.relative_to(self.folder)
        earlier = next((each for each in [same_receivers, *delivered] if each.exists()), None)
        if earlier is None:
            return None
        made_at = site_time(self._loaded, earlier.stat().st_mtime)
        return Replaced(sop_instance_uid(earlier), made_at, len(before.files))


def _protocol_of(job: Job, loaded: LoadedSite) -> Protocol:
    """What the configuration that routed the job says of its protocol, or of the candidate beside that."""
    protocol = loaded.protocol(configured_name(job.protocol))
    if protocol is None:
        code, sentence = "protocol.unknown", f"The configuration has no protocol {job.protocol} any more."
        raise ModelRefused(code, sentence)
    return in_the_shadow(protocol, loaded.bundle_folders) if is_shadow(job.protocol) else protocol
