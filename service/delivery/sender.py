"""Brings one object to one destination, over as many attempts and restarts as it takes.

An attempt is in the ledger before its association starts and when it has ended. If the process dies between
the peer's 0x0000 and our commit, the row runs again and sends the same SOP instance again: harmless, and the
broken-off attempt stays visible. Nothing waits in memory: a later attempt is a delayed row of the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from service import failpoints
from service.backlog.engine import Again
from service.backlog.ledger import LedgerRefused, deliver_key
from service.backlog.records import DeliveryState, JobState
from service.config.site import Backoff, Destination
from service.delivery import outcome
from service.delivery.backoff import seconds_tried, wait_seconds
from service.delivery.outcome import Kind, Outcome
from service.delivery.ways import bring
from service.log import EventLog

if TYPE_CHECKING:
    import sqlalchemy as sa

    from service.backlog.ledger import Ledger
    from service.backlog.notify import Notifies
    from service.backlog.records import Delivery, Job
    from service.config.reader import LoadedSite

_OPEN: Final = frozenset({DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.RETRYING})
_EARLY_SECONDS: Final = 1.0  # the engine's clock is not quite ours
_WORRY_PART: Final = 1 / 48  # of `give_up_hours`: after an hour of 48 a person hears of it

_log = EventLog("delivery")


class Sender:
    """Handler of the engine's queue ``deliver``.

    Args:
        ledger: where attempts are recorded.
        site: the configuration in force at the moment, so that a corrected port counts for the next attempt.
        notify: told of dead letters and of whatever a person must look at.
        want_commitment: called in the transaction in which a delivery is acknowledged, if its destination is
            to commit itself to keep it.
    """

    def __init__(
        self,
        ledger: Ledger,
        site: Callable[[], LoadedSite],
        notify: Notifies,
        want_commitment: Callable[[sa.Connection, int], None] | None = None,
    ) -> None:
        self._want_commitment = want_commitment
        self._ledger = ledger
        self._site = site
        self._notify = notify

    def deliver(self, payload: str) -> Again | None:
        """Make one attempt at the delivery whose id is ``payload``.

        Returns:
            When to come again, or None if the delivery has ended, is held or was cancelled.
        """
        delivery = self._ledger.delivery(int(payload))
        job = self._ledger.job(delivery.job_id)
        if delivery.state not in _OPEN or self._stopped_with_its_job(delivery, job):
            return None
        early = (delivery.next_at or 0.0) - time.time()
        destination = self._destination(delivery, job)
        retry = destination.retry if destination else Backoff()
        is_real = early <= retry.longest_seconds + _EARLY_SECONDS  # else the clock was set back meanwhile
        if early > _EARLY_SECONDS and is_real:  # it came back after a crash, or beside one of a person
            key = f"{deliver_key(delivery.id, delivery.attempts + 1)}@{int(time.time())}"
            return _again(delivery, job, key, min(early, retry.longest_seconds))
        try:
            attempt = self._ledger.start_attempt(delivery.id)
        except LedgerRefused:  # held or cancelled since we looked
            return None
        found = self._attempt(delivery, job, destination, attempt)
        return self._finish(delivery, job, attempt, found, destination)

    def _stopped_with_its_job(self, delivery: Delivery, job: Job) -> bool:
        """A structure set whose job was replaced, cancelled or held must not leave."""
        states = {
            JobState.SUPERSEDED: DeliveryState.CANCELLED,
            JobState.CANCELLED: DeliveryState.CANCELLED,
            JobState.HELD: DeliveryState.HELD,
        }
        if job.state not in states:
            return False
        with self._ledger.begin() as conn:
            if self._ledger.delivery(delivery.id, conn).state in _OPEN:
                self._ledger.move_delivery(
                    conn, delivery.id, states[job.state], code=f"delivery.job-{job.state.value}"
                )
        return True

    def _destination(self, delivery: Delivery, job: Job) -> Destination | None:
        title = delivery.destination.partition(":")[2]  # of a sender, if it goes back to one
        address = self._ledger.sender_address(job.series_id, title)
        return self._site().destination(delivery.destination, address)

    def _attempt(
        self, delivery: Delivery, job: Job, destination: Destination | None, attempt: int
    ) -> Outcome:
        failpoints.reach("deliver.before-send")
        began = time.monotonic()
        found = outcome.NO_DESTINATION
        if destination is not None:
            found = bring(delivery, destination, self._site())
        if found.stored:
            failpoints.reach("deliver.after-success")
        _log.info(
            "delivery.attempted",
            job=job.id,
            destination=delivery.destination,
            attempt=attempt,
            code=found.code,
            status=found.status,
            ms=round(1000 * (time.monotonic() - began)),
        )
        return found

    def _finish(
        self, delivery: Delivery, job: Job, attempt: int, found: Outcome, destination: Destination | None
    ) -> Again | None:
        retry = destination.retry if destination else Backoff()
        wait = wait_seconds(found.kind, attempt, retry)
        hours = None
        if wait is not None:
            starts, give_up = self._starts(delivery), 3600 * retry.give_up_hours
            tried = seconds_tried(starts, retry)
            if tried + wait > give_up:
                found, wait = _given_up(found, retry), None
            elif seconds_tried(starts[:-1], retry) <= _WORRY_PART * give_up < tried:
                hours = retry.give_up_hours
        worth_telling = found.kind is Kind.DEAD or hours or (found.alarm and found.code != delivery.reason)
        if worth_telling and not found.stored:  # before the commit: told twice is better than never
            self._tell(delivery, found, hours)
        state = self._ledger.finish_attempt(
            delivery.id,
            attempt,
            status=found.status,
            code=found.code,
            sentence=found.sentence if wait is None else f"{found.sentence} Next attempt in {wait:.0f} s.",
            state=_STATES[found.kind],
            next_at=None if wait is None else time.time() + wait,
            when_delivered=self._committing(delivery, destination),
        )
        if worth_telling and found.stored:  # after it: until then a crash would send it again
            self._tell(delivery, found, hours)
        if wait is None or state is not DeliveryState.RETRYING:
            return None
        return _again(delivery, job, deliver_key(delivery.id, attempt + 1), wait)

    def _committing(
        self, delivery: Delivery, destination: Destination | None
    ) -> Callable[[sa.Connection], None] | None:
        want = self._want_commitment
        if want is None or destination is None or not destination.storage_commitment:
            return None
        return lambda conn: want(conn, delivery.id)

    def _tell(self, delivery: Delivery, found: Outcome, give_up_hours: float | None) -> None:
        sentence = f"{delivery.heading}: {found.sentence}"
        if give_up_hours is not None:
            sentence += f" It has failed for some time; the node gives up after {give_up_hours:g} h."
        self._notify.tell(found.code, sentence, delivery.job_id)

    def _starts(self, delivery: Delivery) -> list[float]:
        """When each attempt began."""
        deliveries = self._ledger.story(delivery.job_id).deliveries
        (attempts,) = (attempts for each, attempts in deliveries if each.id == delivery.id)
        return [attempt.started_at for attempt in attempts]


_STATES: Final = {
    Kind.DONE: DeliveryState.DELIVERED,
    Kind.DONE_WITH_WARNING: DeliveryState.DELIVERED,
    Kind.RETRY: DeliveryState.RETRYING,
    Kind.SLOW_RETRY: DeliveryState.RETRYING,
    Kind.DEAD: DeliveryState.DEAD,
}


def _given_up(found: Outcome, retry: Backoff) -> Outcome:
    sentence = f"Given up after {retry.give_up_hours:g} h. The last attempt: {found.sentence}"
    return replace(found, kind=Kind.DEAD, code="delivery.given-up", sentence=sentence)


def _again(delivery: Delivery, job: Job, key: str, wait: float) -> Again:
    return Again(key, str(delivery.id), wait, partition=delivery.destination, priority=job.priority)
