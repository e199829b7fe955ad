"""How a series is contoured that was pulled from an archive: as its order says, after what people send."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from service.arrival.localizers import separate
from service.arrival.routing import Decision, RoutedJob, route
from service.backlog.records import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from service.backlog.pull_orders import PullOrder
    from service.backlog.records import ReceivedSeries
    from service.config.reader import LoadedSite


def decide(
    headers: Sequence[Dataset], series: ReceivedSeries, loaded: LoadedSite, order: PullOrder | None
) -> Decision:
    """What becomes of a series: by the routes, unless an order names the protocol.

    Raises:
        SeriesRefused: a route hangs on what the slices disagree on, or on what cannot be read.
    """
    if order is not None and order.protocol is not None:
        return _by_protocol(headers, order, order.protocol)
    titles = series.calling_ae_title, series.called_ae_title
    decision = route(headers, *titles, loaded, series.sender_address)
    if order is None:
        return decision
    later = tuple(replace(job, priority=max(job.priority, order.priority)) for job in decision.jobs)
    return replace(decision, jobs=later)


def _by_protocol(headers: Sequence[Dataset], order: PullOrder, protocol: str) -> Decision:
    slices, localizers = separate(headers)
    job = RoutedJob(
        protocol=protocol,
        destinations=order.destinations,
        mode=Mode.SEND if order.destinations else Mode.SHADOW,
        priority=order.priority,
        routes=(),
        when_sent_again="ignore",
    )
    return Decision((job,) if slices else (), (), slices, localizers)
