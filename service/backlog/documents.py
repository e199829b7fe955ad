"""Status, jobs and stories as documents for programs: what ``--json`` prints and what the API answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from service.backlog.commitment_records import Commitment
    from service.backlog.engine import Waiting
    from service.backlog.ledger import Attempt, Counts, Story
    from service.backlog.records import Delivery, Job, PatientIdentity, RecordedSeries


def status_document(
    counts: Counts, engine: Mapping[str, Mapping[str, int]], stuck: Sequence[Waiting]
) -> dict[str, Any]:
    """Everything that `status` says."""
    return {
        "series": dict(counts.series),
        "jobs": dict(counts.jobs),
        "deliveries": dict(counts.deliveries),
        "longest_wait_seconds": round(counts.longest_wait_seconds, 1),
        "engine": {queue: dict(numbers) for queue, numbers in engine.items()},
        "stuck": [asdict(each) for each in stuck],
    }


def job_document(job: Job, identity: PatientIdentity, zone: str) -> dict[str, Any]:
    """A job in a list."""
    return {
        "job": job.id,
        "state": job.state.value,
        "code": job.code,
        "sentence": job.sentence,
        "protocol": job.protocol,
        "mode": job.mode.value,
        "priority": job.priority,
        "destinations": list(job.destinations),
        "slices": len(job.files),
        "revision": job.revision,
        "predecessor": job.predecessor,
        "created": iso(job.created_at, zone),
        "updated": iso(job.updated_at, zone),
        "patient": asdict(identity),
    }


def series_document(series: RecordedSeries, zone: str) -> dict[str, Any]:
    """A series in a list or a story."""
    return {
        "series_instance_uid": series.series_instance_uid,
        "study_instance_uid": series.study_instance_uid,
        "state": series.state.value,
        "code": series.code,
        "sentence": series.sentence,
        "instances": series.instances,
        "revision": series.revision,
        "calling_ae_title": series.calling_ae_title,
        "called_ae_title": series.called_ae_title,
        "sender_address": series.sender_address,
        "first": iso(series.first_at, zone),
        "last": iso(series.last_at, zone),
        "purged": iso(series.purged_at, zone),
        "patient": asdict(series.identity),
    }


def story_document(story: Story, zone: str) -> dict[str, Any]:
    """Everything that `show` says."""
    return job_document(story.job, story.series.identity, zone) | {
        "config_version": story.job.config_version,
        "routes": list(story.job.routes),
        "notes": list(story.job.notes),
        "successor": story.successor,
        "purged": iso(story.purged_at, zone),
        "series": series_document(story.series, zone),
        "model": None if story.provenance is None else dict(story.provenance),
        "contoured": iso(story.contoured_at, zone),
        "volumes_cm3": dict(story.volumes_cm3),
        "seconds": dict(story.seconds),
        "findings": [asdict(finding) for finding in story.findings],
        "deliveries": [
            _delivery_document(*each, story.commitments.get(each[0].id), zone) for each in story.deliveries
        ],
        "events": [asdict(event) | {"at": iso(event.at, zone)} for event in story.events],
    }


def _delivery_document(
    delivery: Delivery, attempts: Sequence[Attempt], commitment: Commitment | None, zone: str
) -> dict[str, Any]:
    tried = [
        asdict(each) | {"started_at": iso(each.started_at, zone), "ended_at": iso(each.ended_at, zone)}
        for each in attempts
    ]
    return {
        "delivery": delivery.id,
        "destination": delivery.destination,
        "kind": delivery.kind.value,
        "generation": delivery.generation,
        "state": delivery.state.value,
        "sop_instance_uid": delivery.sop_instance_uid,
        "reason": delivery.reason,
        "last_status": delivery.last_status,
        "next": iso(delivery.next_at, zone),
        "attempts": tried,
        "commitment": commitment.state.value if commitment else None,
        "failure_reason": commitment.failure_reason if commitment else None,
    }


def iso(at: float | None, zone: str) -> str | None:
    """A time as people of that zone write it, to the millisecond."""
    return (
        None if at is None else datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(timespec="milliseconds")
    )
