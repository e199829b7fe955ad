"""Which protocols contour a series and where the structure sets go: a function of headers and configuration.

Sentences name keywords and what the file asks for, never what a header holds: they may be logged.

Several routes may give the same (series, protocol). They make one job: its destinations are those of all, the
smallest priority counts, and where modes differ the most careful: shadow before hold before send. A route
that is off counts for nothing. A protocol with a candidate for its model gives one more job, last in line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydicom import Dataset

from service.arrival.attributes import Attributes, Undecided
from service.arrival.localizers import like_slices, separate
from service.backlog.records import Mode
from service.backlog.trial_names import is_shadow, shadow_name
from service.config.consistency import SENDER
from service.config.criteria import AE_KEYS, CompiledCriterion, compile_criterion
from service.config.reader import LoadedSite
from service.config.route_section import Criterion, Route
from service.config.site import Destination
from service.errors import SeriesRefused

_MOST_CAREFUL_FIRST: Final = (Mode.SHADOW, Mode.HOLD, Mode.SEND)
_AFTER_ALL_OTHERS: Final = 1000
_LEAST_FIRST: Final = ("ignore", "send_same", "contour_again")
_ALWAYS_READ: Final = ("ImageType", "ImageOrientationPatient", "SpecificCharacterSet")


@dataclass(frozen=True, slots=True)
class RouteReason:
    """Why one route did or did not match.

    Attributes:
        route: its name.
        matched: whether it applies.
        sentence: why, without patient values.
        keywords: the attributes that decided, for ``explain`` to show their values.
    """

    route: str
    matched: bool
    sentence: str
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoutedJob:
    """One protocol for the series.

    Attributes:
        protocol: name in the configuration, or ``shadow:<name>`` for the candidate beside its model.
        destinations: names in the configuration, or ``sender:<AE title>``.
        mode: send, hold or shadow; never off.
        priority: 1 runs first.
        routes: names of the routes that asked for it.
        when_sent_again: ignore, send_same or contour_again.
    """

    protocol: str
    destinations: tuple[str, ...]
    mode: Mode
    priority: int
    routes: tuple[str, ...]
    when_sent_again: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a series.

    Attributes:
        jobs: one for each protocol; none if no route matched.
        reasons: one for each route, in the order of the file.
        slices: indices of the headers that are slices of the CT.
        localizers: indices of those that are not.
        like_slices: how many of these lie as the slices do.
    """

    jobs: tuple[RoutedJob, ...]
    reasons: tuple[RouteReason, ...]
    slices: tuple[int, ...]
    localizers: tuple[int, ...]
    like_slices: int = 0

    @property
    def only_localizers(self) -> bool:
        """Nothing to contour and nothing wrong: the series is to be ignored."""
        return not self.slices and bool(self.localizers)


def keywords_to_read(loaded: LoadedSite) -> tuple[str, ...]:
    """DICOM keywords that :func:`route` looks at, for readers that skip the rest of a header."""
    asked = {
        key
        for route in loaded.site.routes
        for criteria in (route.when, route.unless)
        for key in criteria
        if key not in AE_KEYS
    }
    return tuple(sorted(asked.union(_ALWAYS_READ)))


def route(
    headers: Sequence[Dataset],
    calling_ae: str,
    called_ae: str,
    loaded: LoadedSite,
    sender_address: str | None = None,
) -> Decision:
    """Decide by every route of the configuration.

    Args:
        headers: of all instances of one series.
        calling_ae: AE title of the sender.
        called_ae: AE title it called.
        loaded: the configuration.
        sender_address: where it called from, to know it again among the destinations.

    Raises:
        SeriesRefused: ``routing.slices-disagree``, ``routing.attribute-unreadable``: a route hangs on it.
    """
    slices, localizers = separate(headers)
    if not slices:
        return Decision((), (), slices, localizers)
    attributes = Attributes(
        [headers[index] for index in slices], {"calling_ae": calling_ae, "called_ae": called_ae}
    )
    reasons = [_judge(one, attributes) for one in loaded.site.routes]
    matching = [one for one, reason in zip(loaded.site.routes, reasons, strict=True) if reason.matched]
    jobs = tuple(_jobs(matching, calling_ae.strip(), sender_address, loaded))
    said = tuple(_with_conflicts(reasons, matching, jobs))
    return Decision(jobs, said, slices, localizers, like_slices(headers, slices, localizers))


def _judge(one: Route, attributes: Attributes) -> RouteReason:
    if one.mode == "off":
        return RouteReason(one.name, False, "is off")
    when, unless = _compiled(one.when), _compiled(one.unless)
    wanted = {criterion: attributes.satisfy(criterion, all_equal=True) for criterion in when}
    barred = {criterion: attributes.satisfy(criterion, all_equal=False) for criterion in unless}
    against = [c for c, outcome in wanted.items() if outcome is False]
    against += [c for c, outcome in barred.items() if outcome is True]
    if against:
        sentence = "; ".join(
            _objection(c, attributes, barred=c in barred and barred[c] is True) for c in against
        )
        return RouteReason(one.name, False, sentence, tuple(c.keyword for c in against))
    for criterion, outcome in (wanted | barred).items():
        if isinstance(outcome, Undecided):
            raise _refusal(one, criterion, outcome)
    agreed = "; ".join(f"{c.keyword} is {_quoted(c)}" for c in when) or "matches every series"
    return RouteReason(one.name, True, agreed, tuple(c.keyword for c in when))


def _compiled(criteria: Mapping[str, Criterion]) -> list[CompiledCriterion]:
    return [compile_criterion(keyword, value) for keyword, value in criteria.items()]


def _objection(criterion: CompiledCriterion, attributes: Attributes, *, barred: bool) -> str:
    if barred:
        return f"unless: {criterion.keyword} is {_quoted(criterion)}"
    if attributes.is_absent(criterion.keyword):
        return f"{criterion.keyword} is absent, wanted {_quoted(criterion)}"
    return f"{criterion.keyword} is not {_quoted(criterion)}"


def _quoted(criterion: CompiledCriterion) -> str:
    return f"'{criterion.written}'"


def _refusal(one: Route, criterion: CompiledCriterion, outcome: Undecided) -> SeriesRefused:
    if outcome is Undecided.UNREADABLE:
        sentence = (
            f"{criterion.keyword} cannot be read and route '{one.name}' depends on it; "
            "correct the CT, or route on something else."
        )
        return SeriesRefused("routing.attribute-unreadable", sentence)
    sentence = (
        f"The slices disagree on {criterion.keyword} and route '{one.name}' depends on it; "
        "send slices that agree, or route on something else."
    )
    return SeriesRefused("routing.slices-disagree", sentence)


def _jobs(
    matching: Sequence[Route], calling_ae: str, sender_address: str | None, loaded: LoadedSite
) -> list[RoutedJob]:
    asked: dict[str, list[Route]] = {}
    for one in matching:
        for protocol in [one.contour] if isinstance(one.contour, str) else one.contour:
            asked.setdefault(protocol, []).append(one)
    jobs = [
        _merged(protocol, routes, calling_ae, sender_address, loaded) for protocol, routes in asked.items()
    ]
    with_candidate = {name for name, protocol in loaded.site.protocols.items() if protocol.shadow is not None}
    return jobs + [_shadow_of(job) for job in jobs if job.protocol in with_candidate]


def _shadow_of(job: RoutedJob) -> RoutedJob:
    """The same CT for the candidate beside the protocol's model: it goes nowhere, and comes last."""
    return replace(
        job,
        protocol=shadow_name(job.protocol),
        destinations=(),
        mode=Mode.SHADOW,
        priority=_AFTER_ALL_OTHERS,
    )


def _merged(
    protocol: str, routes: Sequence[Route], calling_ae: str, sender_address: str | None, loaded: LoadedSite
) -> RoutedJob:
    named = list(dict.fromkeys(name for one in routes for name in one.send_to))
    back = f"{SENDER}:{calling_ae}"
    destinations = [back if name == SENDER else name for name in named]
    if back in destinations and _is_named_too(loaded.destination(back, sender_address), destinations, loaded):
        destinations.remove(back)
    return RoutedJob(
        protocol=protocol,
        destinations=tuple(destinations),
        mode=min((Mode(one.mode) for one in routes), key=_MOST_CAREFUL_FIRST.index),
        priority=min(one.priority for one in routes),
        routes=tuple(dict.fromkeys(one.name for one in routes)),
        when_sent_again=min((one.when_sent_again for one in routes), key=_LEAST_FIRST.index),
    )


def _is_named_too(sender: Destination | None, destinations: Sequence[str], loaded: LoadedSite) -> bool:
    """Whether the sender is also one of the named destinations: it gets the set once."""
    others = [loaded.site.destinations.get(name) for name in destinations]
    return sender is not None and any(
        other is not None
        and (other.ae_title, other.host, other.port) == (sender.ae_title, sender.host, sender.port)
        for other in others
    )


def _with_conflicts(
    reasons: Sequence[RouteReason], matching: Sequence[Route], jobs: Sequence[RoutedJob]
) -> list[RouteReason]:
    """The reasons, with a word where another route made a job more careful than this one asked."""
    modes = {one.name: Mode(one.mode) for one in matching}
    said = []
    for reason in reasons:
        changed = [
            f"{job.protocol} is {job.mode} because another route says so"
            for job in jobs
            if reason.route in job.routes and job.mode is not modes[reason.route]
            if not is_shadow(job.protocol)
        ]
        sentence = "; but ".join([reason.sentence, *changed])
        said.append(RouteReason(reason.route, reason.matched, sentence, reason.keywords))
    return said
