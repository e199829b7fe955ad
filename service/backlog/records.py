"""The records that travel between the stages, and their states. None of them prints a patient's values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from service.backlog.delivery_records import DELIVERY_ARROWS as DELIVERY_ARROWS
from service.backlog.delivery_records import Delivery as Delivery
from service.backlog.delivery_records import DeliveryState as DeliveryState


@dataclass(frozen=True, slots=True, repr=False)
class ReceivedInstance:
    """One instance in the spool, as much of it as completeness needs.

    Attributes:
        sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid: of the instance.
        transfer_syntax_uid: as received.
        calling_ae_title, called_ae_title, sender_address: who sent it, to which name, from where.
        received_at: seconds since the epoch.
        file: where it lies in the spool.
        modality: (0008,0060), empty if absent.
        is_localizer: ImageType says LOCALIZER.
        position_lps_mm: ImagePositionPatient, None if absent or unreadable.
        orientation: ImageOrientationPatient, six cosines, None if absent or unreadable.
        images_in_acquisition: (0020,1002): a hint, never proof.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    sender_address: str
    received_at: float
    file: Path
    modality: str = ""
    is_localizer: bool = False
    position_lps_mm: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float, float, float] | None = None
    images_in_acquisition: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ReceivedSeries:
    """A series that is complete, or that waited in vain (``refusal`` then says why).

    Attributes:
        series_instance_uid, study_instance_uid: of the series.
        calling_ae_title, called_ae_title, sender_address: of the association that delivered last.
        folder: where its instances lie in the spool.
        instances: all of them, localizers too.
        first_at, last_at: first and last arrival, seconds since the epoch.
        sent_again: True when every instance of this delivery was already there.
        added_late: True when the series had been complete before and grew.
        non_uniform: True when slice spacing changes along the stack and stays changed.
        refusal: (code, sentence) when it must not be contoured.
        doubt: (code, sentence) when a person must say first that it is whole.
    """

    series_instance_uid: str
    study_instance_uid: str
    calling_ae_title: str
    called_ae_title: str
    sender_address: str
    folder: Path
    instances: tuple[ReceivedInstance, ...]
    first_at: float
    last_at: float
    sent_again: bool = False
    added_late: bool = False
    non_uniform: bool = False
    refusal: tuple[str, str] | None = None
    doubt: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, repr=False)
class PatientIdentity:
    """Whose series it is, as people look for it; printing it shows nothing.

    Attributes:
        patient_id: (0010,0020).
        patient_name: (0010,0010), decoded, as received.
        birth_date: (0010,0030), YYYYMMDD.
        sex: (0010,0040).
        accession_number: (0008,0050).
        study_date: (0008,0020), YYYYMMDD.
        study_description: (0008,1030).
        series_description: (0008,103E).
    """

    patient_id: str = ""
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_description: str = ""
    series_description: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class RecordedSeries:
    """A series as the ledger keeps it.

    Attributes:
        id: row in the ledger.
        series_instance_uid, study_instance_uid: of the series.
        folder: where its instances lie or lay.
        revision: of its content; grows when slices are added or it is contoured anew on purpose.
        state: where it is.
        code, sentence: why it is there, if that needs a reason.
        instances: how many were recorded, localizers too.
        calling_ae_title, called_ae_title, sender_address: of the association that delivered last.
        first_at, last_at: first and last arrival, seconds since the epoch.
        purged_at: when its instances were deleted, None while they are there.
        identity: whose it is.
    """

    id: int
    series_instance_uid: str
    study_instance_uid: str
    folder: Path
    revision: int
    state: SeriesState
    code: str | None
    sentence: str | None
    instances: int
    calling_ae_title: str
    called_ae_title: str
    sender_address: str
    first_at: float
    last_at: float
    purged_at: float | None
    identity: PatientIdentity


class Mode(StrEnum):
    """What a route does with what it matches."""

    SEND = "send"
    HOLD = "hold"
    SHADOW = "shadow"
    OFF = "off"


class SeriesState(StrEnum):
    """Where a series is; every state is shown to people."""

    COLLECTING = "collecting"
    ROUTED = "routed"
    UNROUTED = "unrouted"
    IGNORED = "ignored"
    REFUSED = "refused"


class JobState(StrEnum):
    """Where one (series, protocol) is."""

    QUEUED = "queued"
    CONTOURING = "contouring"
    HELD = "held"
    DELIVERING = "delivering"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


JOB_ARROWS: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.QUEUED: frozenset(
        {JobState.CONTOURING, JobState.HELD, JobState.CANCELLED, JobState.SUPERSEDED, JobState.FAILED}
    ),
    JobState.CONTOURING: frozenset(JobState),
    JobState.HELD: frozenset(
        {JobState.QUEUED, JobState.DELIVERING, JobState.DONE, JobState.CANCELLED, JobState.SUPERSEDED}
    ),
    JobState.DELIVERING: frozenset(
        {JobState.DONE, JobState.FAILED, JobState.HELD, JobState.CANCELLED, JobState.SUPERSEDED}
    ),
    JobState.DONE: frozenset({JobState.DELIVERING, JobState.SUPERSEDED}),
    JobState.REFUSED: frozenset({JobState.QUEUED, JobState.SUPERSEDED}),
    JobState.FAILED: frozenset(
        {JobState.QUEUED, JobState.DELIVERING, JobState.CANCELLED, JobState.SUPERSEDED}
    ),
    JobState.CANCELLED: frozenset({JobState.QUEUED, JobState.SUPERSEDED}),
    JobState.SUPERSEDED: frozenset(),
}


@dataclass(frozen=True, slots=True, repr=False)
class Job:
    """One series to be contoured by one protocol.

    Attributes:
        id: short, random, safe to log and to say on the telephone.
        series_id: row in the ledger.
        folder: the series' instances in the spool.
        files: instances that belong to this job, the slices of the CT.
        protocol: name in the configuration.
        destinations: names in the configuration, or ``AE@address`` resolved for return to sender.
        mode: send, hold or shadow.
        priority: 1 runs first.
        config_version: content hash of the configuration that routed it.
        state: where it is.
        predecessor: id of the job whose structure set this one replaces.
        notes: sentences that must stand in the structure set, e.g. lossy compression, non-uniform spacing.
        revision: of the series' content; grows when slices are added.
        run: how often contouring was begun; one that comes back with an older number has lost the job.
        code, sentence: why it is where it is, if that needs a reason.
        routes: names of the routes that asked for it.
        when_sent_again: ignore, send_same or contour_again.
        created_at, updated_at: seconds since the epoch.
        contoured: the model's answer was recorded.
    """

    id: str
    series_id: int
    folder: Path
    files: tuple[Path, ...]
    protocol: str
    destinations: tuple[str, ...]
    mode: Mode
    priority: int
    config_version: str
    state: JobState
    predecessor: str | None = None
    notes: tuple[str, ...] = ()
    revision: int = 1
    run: int = 0
    code: str | None = None
    sentence: str | None = None
    routes: tuple[str, ...] = ()
    when_sent_again: str = "send_same"
    created_at: float = 0.0
    updated_at: float = 0.0
    contoured: bool = False
