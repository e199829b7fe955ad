"""The handler of the queue ``review``: a structure set that came, compared with ours of the same CT.

All that is found out is written down in one transaction, under a name that the ledger takes once: a process
that dies before has done nothing, one that dies after has done all. Nothing is ever sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from models.volume import Grid
from service.backlog.database import now
from service.backlog.engine import Again
from service.backlog.ledger import Ledger, LedgerRefused
from service.backlog.ledger_reviews import review_key
from service.backlog.records import Job, RecordedSeries, SeriesState
from service.backlog.review_records import FoundBy, NewStructure
from service.backlog.spool import Spool
from service.backlog.trial_names import configured_name, is_shadow
from service.dicom.ct_geometry import CtGeometry
from service.dicom.structure_set_reader import StructureSet, read_structure_set
from service.errors import SeriesRefused, StructureSetInvalid
from service.evaluation import our_sets, set_findings
from service.evaluation.comparison import (
    compare_sets,
    is_as_it_was,
    is_of_another_patient,
    predecessors,
    sop_instance_uid,
)
from service.evaluation.received_set import ReceivedSet
from service.evaluation.set_findings import SetFinding
from service.failpoints import reach
from service.log import EventLog

if TYPE_CHECKING:
    from service.config.reader import LoadedSite

_log = EventLog("evaluation")
_FIRST_WAIT_SECONDS: Final = 5.0
_LONGEST_WAIT_SECONDS: Final = 600.0
_CT_MAY_COME_SECONDS: Final = 3600.0
"""So long a set waits for its CT: exports send both, in any order."""
_SHADOW_MAY_COME_SECONDS: Final = 86400.0
"""So long it waits for a candidate in the shadow, which is contoured when nobody waits for anything else."""


class _NotYet(Exception):
    """The CT has not come, or is being contoured."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    series_id: int | None
    finding: SetFinding | None
    structures: tuple[NewStructure, ...] = ()


class ReviewWorker:
    """Handler of the engine's queue ``review``.

    Args:
        site: the configuration in force.
        ledger, spool: of this node.
        grid: of a job's CT, also when its images are deleted; raises SeriesRefused if it is not known any
            more.
    """

    def __init__(
        self,
        site: Callable[[], LoadedSite],
        ledger: Ledger,
        spool: Spool,
        grid: Callable[[Job], Grid],
    ) -> None:
        self._site = site
        self._ledger = ledger
        self._spool = spool
        self._grid = grid

    def review(self, payload: str) -> Again | None:
        """Look at the set that ``payload`` names (``name`` or ``name#tries``); when to look again, if so."""
        name, _, tries = payload.partition("#")
        reach("review.taken")
        received = self._received(name)
        if received is None:
            return None
        try:
            outcome = self._outcome(received)
        except _NotYet:
            return _later(name, int(tries or 1))
        self._write_down(received, outcome)
        return None

    def again(self, set_id: int) -> None:
        """Compare a set anew, as when names were added to the configuration; what was graded stays graded.

        Raises:
            LedgerRefused: there is no such set, its file is deleted, or its CT is being contoured just now.
        """
        file = self._ledger.reviewed_file(set_id)
        if file is None or not file.is_file():
            sentence = "The file of this set is deleted (evaluation.keep_days). What was measured stays."
            raise LedgerRefused("review.file-gone", sentence)
        received = ReceivedSet(
            file.stem, file, self._ledger.reviewed_set(set_id).received_at, file.read_bytes()
        )
        try:
            outcome = self._outcome(received)
        except _NotYet:
            sentence = "Its CT is being contoured. Try again in a while."
            raise LedgerRefused("review.not-yet", sentence) from None
        finding = outcome.finding
        with self._ledger.begin() as conn:
            self._ledger.change_reviewed_set(
                conn,
                set_id,
                series_id=outcome.series_id,
                code=None if finding is None else finding.code,
                sentence=None if finding is None else finding.sentence,
            )
            self._ledger.add_reviewed_structures(conn, set_id, outcome.structures)

    def gave_up(self, payload: str) -> None:
        """The engine set a set aside: this process died under it again and again, or could not read it."""
        received = self._received(payload.partition("#")[0])
        if received is not None:
            self._write_down(received, _Outcome(None, set_findings.SET_ASIDE), is_read=False)

    def _received(self, name: str) -> ReceivedSet | None:
        """The set; None if it is gone, or was looked at."""
        file = self._spool.structure_sets / f"{name}.dcm"
        if self._ledger.is_known_set(name):
            return None
        try:
            return ReceivedSet(name, file, file.stat().st_mtime, file.read_bytes())
        except FileNotFoundError:
            return None

    def _outcome(self, received: ReceivedSet) -> _Outcome:
        try:
            received.check()
            return self._of_readable(received)
        except StructureSetInvalid as error:
            return _Outcome(None, SetFinding(error.code, error.sentence))

    def _of_readable(self, received: ReceivedSet) -> _Outcome:
        series = self._series_of(received.structure_set)
        if series is None:
            if now() - received.received_at < _CT_MAY_COME_SECONDS:
                raise _NotYet
            return _Outcome(None, set_findings.OTHER_CT)
        every = self._ledger.jobs_of_series(series.series_instance_uid)
        waits_for_shadows = now() - received.received_at < _SHADOW_MAY_COME_SECONDS
        under_way = [job for job in every if job.state in our_sets.UNDER_WAY]
        if series.state is SeriesState.COLLECTING or any(
            waits_for_shadows or not is_shadow(job.protocol) for job in under_way
        ):
            raise _NotYet
        jobs = our_sets.contoured(every)
        if not jobs:
            return _Outcome(series.id, set_findings.NOT_CONTOURED)
        named = {sop_instance_uid(received.structure_set), *predecessors(received.structure_set)}
        if self._was_replaced(named, jobs, [job for job in every if job not in jobs]):
            return _Outcome(series.id, set_findings.REPLACED)
        return self._compared(received, series, our_sets.as_reviewed(jobs, named, self._ledger, self._spool))

    def _series_of(self, theirs: StructureSet) -> RecordedSeries | None:
        """The CT that it refers to; of several, one that was asked to be contoured."""
        found = (self._ledger.find_series(uid) for uid in theirs.series_instance_uids)
        known = [series for series in found if series is not None]
        asked = (each for each in known if self._ledger.jobs_of_series(each.series_instance_uid))
        return next(asked, known[0] if known else None)

    def _was_replaced(self, named: set[str], jobs: list[Job], gone: list[Job]) -> bool:
        """Whether a set is, or names as what came before it, that of a job which does not count any more."""
        counts = our_sets.own_uids(jobs, self._ledger, self._spool)
        return not named & counts and bool(named & our_sets.own_uids(gone, self._ledger, self._spool))

    def _compared(self, received: ReceivedSet, series: RecordedSeries, jobs: list[Job]) -> _Outcome:
        theirs, loaded = received.structure_set, self._site()
        is_ours = sop_instance_uid(theirs) in our_sets.own_uids(jobs, self._ledger, self._spool)
        files = {
            job.id: our_sets.set_of(job, received.sender, self._ledger, self._spool, loaded) for job in jobs
        }
        ours = {job_id: read_structure_set(file) for job_id, file in files.items() if file is not None}
        if not ours:
            return _Outcome(series.id, set_findings.OWN_SET if is_ours else set_findings.OURS_DELETED)
        if is_ours and any(is_as_it_was(each, theirs) for each in ours.values()):
            return _Outcome(series.id, set_findings.OWN_SET)
        if any(is_of_another_patient(each, theirs) for each in ours.values()):
            return _Outcome(series.id, set_findings.OTHER_PATIENT)
        try:
            geometries = {
                job.id: CtGeometry.of_set(self._grid(job), ours[job.id]) for job in jobs if job.id in ours
            }
        except (SeriesRefused, ValueError):
            return _Outcome(series.id, set_findings.CT_DELETED)
        frames = _frames_of(theirs)
        if any(each.frame_of_reference_uid not in frames for each in geometries.values()):
            return _Outcome(series.id, set_findings.OTHER_FRAME_OF_REFERENCE)
        structures = [
            each
            for job in jobs
            if job.id in ours
            for each in self._of_job(job, series, ours[job.id], theirs, geometries[job.id], loaded)
        ]
        return _Outcome(series.id, set_findings.UID_REUSED if is_ours else None, tuple(structures))

    def _of_job(
        self,
        job: Job,
        series: RecordedSeries,
        ours: StructureSet,
        theirs: StructureSet,
        geometry: CtGeometry,
        loaded: LoadedSite,
    ) -> list[NewStructure]:
        made, contoured_at = self._ledger.maker(job.id)
        return [
            NewStructure(
                job_id=job.id,
                contoured_at=contoured_at,
                protocol=configured_name(job.protocol),
                ct_sender=series.calling_ae_title.strip(),
                model=each.model or made,
                is_shadow=our_sets.is_shadow(job),
                structure=each.structure,
                their_name=each.their_name,
                matched_by=each.matched_by,
                code=each.code,
                sentence=each.sentence,
                measures=each.measures,
                slices=each.slices,
                estimated_grade=each.estimated_grade,
            )
            for each in compare_sets(ours, theirs, geometry, loaded.site.evaluation)
        ]

    def _write_down(self, received: ReceivedSet, outcome: _Outcome, *, is_read: bool = True) -> None:
        is_readable = is_read and outcome.series_id is not None
        finding = outcome.finding
        found_by: FoundBy = "query" if self._ledger.was_queried(received.name) else "sent"
        reach("review.before-commit")
        with self._ledger.begin() as conn:
            set_id = self._ledger.add_reviewed_set(
                conn,
                name=received.name,
                received_at=received.received_at,
                series_id=outcome.series_id,
                sender=received.sender,
                file=received.file,
                sha256=hashlib.sha256(received.bytes).hexdigest(),
                approval=received.approval if is_readable else "",
                reviewer_known=received.reviewer_known if is_readable else False,
                found_by=found_by,
                code=None if finding is None else finding.code,
                sentence=None if finding is None else finding.sentence,
            )
            if set_id is None:
                return  # another host was faster
            self._ledger.add_reviewed_structures(conn, set_id, outcome.structures)
            for job_id in dict.fromkeys(each.job_id for each in outcome.structures):
                measured = sum(bool(s.measures) for s in outcome.structures if s.job_id == job_id)
                facts = {"set": set_id, "structures": measured}
                self._ledger.add_event(conn, job_id=job_id, code="job.reviewed", facts=facts)
        reach("review.after-commit")
        code = finding.code if finding else None
        measured = sum(bool(each.measures) for each in outcome.structures)
        _log.info("review.done", ae_title=received.sender, code=code, structures=measured)


def _frames_of(theirs: StructureSet) -> set[str]:
    """Frames of reference that a set and its ROIs name."""
    return {*theirs.frame_of_reference_uids, *(roi.frame_of_reference_uid for roi in theirs.rois)} - {""}


def _later(name: str, tries: int) -> Again:
    seconds = min(_FIRST_WAIT_SECONDS * 2 ** (tries - 1), _LONGEST_WAIT_SECONDS)
    return Again(review_key(name, tries + 1), f"{name}#{tries + 1}", seconds)
