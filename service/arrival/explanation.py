"""Which routes a CT would take and why, for people: ``explain`` prints it, the console shows it."""

from __future__ import annotations

from dataclasses import dataclass

from service.arrival.attributes import shown_value
from service.arrival.routing import Decision, RoutedJob, RouteReason, route
from service.arrival.series_of_folder import FolderSeries
from service.config.reader import LoadedSite
from service.errors import SeriesRefused

_AE_KEYS = ("calling_ae", "called_ae")


@dataclass(frozen=True, slots=True, repr=False)
class ExplainedRoute:
    """One route: why it does or does not match, and what the images hold under the keywords that decided."""

    reason: RouteReason
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """What would become of a series. It holds values of the images: for a person who asked, never for a log.

    Attributes:
        title: the series, as people know it.
        is_ct: anything else would not be contoured.
        calling_ae, called_ae: who would have sent it to which name; calling may be unknown, empty.
        caller_known, called_ours: whether the association would be taken.
        refused: code and sentence, if routing refuses the series.
        images, localizers: how many.
        routes, jobs: the decision; ``only_localizers``: it would be ignored.
    """

    title: str
    is_ct: bool
    calling_ae: str
    called_ae: str
    caller_known: bool
    called_ours: bool
    images: int
    refused: tuple[str, str] | None = None
    localizers: int = 0
    only_localizers: bool = False
    routes: tuple[ExplainedRoute, ...] = ()
    jobs: tuple[RoutedJob, ...] = ()


def explained(
    series: FolderSeries, loaded: LoadedSite, calling_ae: str | None = None, called_ae: str | None = None
) -> Explanation:
    """Decide as arrival would, with the AE titles of the files where none are given."""
    calling = calling_ae or series.calling_ae
    called = called_ae or series.called_ae or loaded.site.node.ae_title
    known, ours = loaded.sender(calling) is not None, called in loaded.own_ae_titles
    begun = (series.title, series.is_ct, calling, called, known, ours, len(series.headers))
    if not series.is_ct:
        return Explanation(*begun)
    try:
        decision = route(series.headers, calling, called, loaded)
    except SeriesRefused as refused:
        return Explanation(*begun, refused=(refused.code, refused.sentence))
    return Explanation(
        *begun,
        localizers=len(decision.localizers),
        only_localizers=decision.only_localizers,
        routes=tuple(_with_values(reason, decision, series) for reason in decision.reasons),
        jobs=tuple(decision.jobs),
    )


def _with_values(reason: RouteReason, decision: Decision, series: FolderSeries) -> ExplainedRoute:
    slices = [series.headers[index] for index in decision.slices]
    asked = [] if reason.matched else [each for each in reason.keywords if each not in _AE_KEYS]
    return ExplainedRoute(reason, tuple((each, shown_value(slices, each)) for each in asked))
