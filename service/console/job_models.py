"""Jobs, series and stories as the API answers them: the documents of ``--json`` with their types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from service.backlog.records import DeliveryState, JobState, SeriesState
from service.config.output_objects import ObjectKind


class Patient(BaseModel):
    """Whose CT it is."""

    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    accession_number: str
    study_date: str
    study_description: str
    series_description: str


class JobSummary(BaseModel):
    """A job in a list."""

    job: str
    state: JobState
    code: str | None
    sentence: str | None
    protocol: str
    mode: str
    priority: int
    destinations: list[str]
    slices: int
    revision: int
    predecessor: str | None
    created: str
    updated: str
    patient: Patient


class SeriesSummary(BaseModel):
    """A series in a list or a story."""

    series_instance_uid: str
    study_instance_uid: str
    state: SeriesState
    code: str | None
    sentence: str | None
    instances: int
    revision: int
    calling_ae_title: str
    called_ae_title: str
    sender_address: str
    first: str
    last: str
    purged: str | None
    patient: Patient


class JobList(BaseModel):
    """What was found, newest first."""

    jobs: list[JobSummary]
    series_without_jobs: list[SeriesSummary]


class FindingOut(BaseModel):
    """What the model wants people to know."""

    code: str
    sentence: str
    structure: str | None
    severity: str


class AttemptOut(BaseModel):
    """One attempt to deliver; ``status`` is the DIMSE status."""

    n: int
    started_at: str
    ended_at: str | None
    status: int | None
    code: str | None
    sentence: str | None


class DeliveryOut(BaseModel):
    """An object on its way to one destination."""

    delivery: int
    destination: str
    kind: ObjectKind
    generation: int
    state: DeliveryState
    sop_instance_uid: str
    reason: str | None
    last_status: int | None
    next: str | None
    attempts: list[AttemptOut]


class EventOut(BaseModel):
    """One line of the story."""

    at: str
    code: str
    sentence: str | None
    who: str | None
    facts: dict[str, Any]


class JobStory(JobSummary):
    """Everything that is known of one job."""

    config_version: str
    routes: list[str]
    notes: list[str]
    successor: str | None
    purged: str | None
    series: SeriesSummary
    model: dict[str, Any] | None
    contoured: str | None
    volumes_cm3: dict[str, float]
    seconds: dict[str, float]
    findings: list[FindingOut]
    deliveries: list[DeliveryOut]
    events: list[EventOut]


PlainText = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]*$")]
"""What a database can hold: no NUL, no control characters."""


class Search(BaseModel):
    """What is looked for; a patient stands in the body and never in an address."""

    states: list[JobState] = []
    patient_id: PlainText | None = Field(default=None, max_length=64)
    text: PlainText | None = Field(default=None, max_length=64)
    sender: PlainText | None = Field(default=None, max_length=16)
    protocol: PlainText | None = Field(default=None, max_length=64)
    destination: PlainText | None = Field(default=None, max_length=80)
    since: float | None = Field(default=None, ge=0, le=1e11, description="seconds since the epoch")
    before: float | None = Field(default=None, ge=0, le=1e11, description="seconds since the epoch")
    limit: int = Field(default=50, ge=1, le=500)


class Changed(BaseModel):
    """What became of a job by a change."""

    job: str
    state: JobState


class Priority(BaseModel):
    """1 runs first; routes say 100 by default."""

    priority: int = Field(ge=1, le=1000)


class Resend(BaseModel):
    """Where to."""

    destination: PlainText = Field(min_length=1, max_length=80)


class Resent(BaseModel):
    """The delivery that was made."""

    job: str
    delivery: int
    destination: str
    state: DeliveryState


Action = Literal["retry", "cancel", "hold", "release"]
