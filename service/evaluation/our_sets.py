"""Which jobs have a structure set of ours on a CT, and which of a job's files a reviewer was given."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pydicom

from service.backlog.ledger import Ledger
from service.backlog.records import Job, JobState, Mode
from service.backlog.spool import Spool
from service.backlog.trial_names import is_trial
from service.dicom.library_errors import LIBRARY_ERRORS

if TYPE_CHECKING:
    from service.config.reader import LoadedSite

UNDER_WAY: Final = (JobState.QUEUED, JobState.CONTOURING)
_OVER: Final = (JobState.SUPERSEDED, JobState.CANCELLED)
_SETS: Final = "rtstruct-*.dcm"


def contoured(jobs: Sequence[Job]) -> list[Job]:
    """Those of a CT's jobs whose contours may be judged: no trials, none that was overtaken or given up."""
    return [job for job in jobs if job.contoured and job.state not in _OVER and not is_trial(job.protocol)]


def as_reviewed(jobs: Sequence[Job], named: Set[str], ledger: Ledger, spool: Spool) -> list[Job]:
    """One job of each protocol: of the CT as it was when the set was made that a reviewer began with.

    Args:
        jobs: of one CT, several of a protocol if it was contoured again.
        named: SOP Instance UIDs of the reviewer's set and of those that it says came before it.
    """
    begun_with = [job for job in jobs if named & own_uids([job], ledger, spool)]
    revision = max(job.revision for job in begun_with or jobs)
    chosen: dict[str, Job] = {}
    for job in sorted(jobs, key=lambda job: (job.revision > revision, -abs(job.revision - revision))):
        if job.revision <= revision or job.protocol not in chosen:
            chosen[job.protocol] = job  # the last one until then, else the first after it
    return [job for job in jobs if chosen[job.protocol].id == job.id]


def is_shadow(job: Job) -> bool:
    """Whether a job's sets were sent nowhere."""
    return job.mode is Mode.SHADOW or not job.destinations


def set_of(job: Job, sender: str, ledger: Ledger, spool: Spool, loaded: LoadedSite) -> Path | None:
    """The set that a reviewer had: sent to who sends now, else to anybody, else any; None if none is left.

    Sets for different receivers say the same contours in different words.
    """
    made = {file.name: file for file in sorted((spool.jobs / job.id).glob(_SETS))}
    deliveries = [each for each in ledger.deliveries(job.id)[::-1] if each.file.name in made]
    of_sender = [each for each in deliveries if _ae_title(each.destination, loaded) == sender]
    wanted = [*(each.file.name for each in (*of_sender, *deliveries)), *made]
    return made[wanted[0]] if wanted else None


def own_uids(jobs: Sequence[Job], ledger: Ledger, spool: Spool) -> set[str]:
    """SOP Instance UIDs of every set that we made of a CT, those included of which the file is gone."""
    sent = {each.sop_instance_uid for job in jobs for each in ledger.deliveries(job.id)}
    files = (file for job in jobs for file in (spool.jobs / job.id).glob(_SETS))
    return sent | {uid for file in files if (uid := _uid_of(file))}


def _ae_title(destination: str, loaded: LoadedSite) -> str | None:
    kind, sign, title = destination.partition(":")
    if sign and kind == "sender":
        return title
    found = loaded.site.destinations.get(destination)
    return None if found is None else found.ae_title


def _uid_of(file: Path) -> str:
    try:
        return str(pydicom.filereader.read_file_meta_info(file).get("MediaStorageSOPInstanceUID", ""))
    except LIBRARY_ERRORS:
        return ""
