"""How good the node's structures are over time: a chart for each, whether it drifts, what stands out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from service.evaluation.charted import CHARTED, Measure, measured
from service.evaluation.control_chart import Limits, Point, Smoothing, chart
from service.evaluation.summary import Group, group_of

if TYPE_CHECKING:
    from service.backlog.review_records import ReviewedStructure
    from service.config.commissioning_section import Commissioning, DriftAlarm
    from service.config.site import Site

FEWEST: Final = 10
"""Cases of commissioning days under which there are no limits."""


def plan_of(site: Site) -> Plan:
    """What a configuration says."""
    evaluation = site.evaluation
    return Plan.of(evaluation.commissioning, evaluation.alarm, site.node.timezone)


class State(StrEnum):
    """Of a structure under one protocol and model version."""

    COMMISSIONING = "commissioning"
    IN_CONTROL = "in-control"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the configuration says of limits and alarms, with days as moments.

    Attributes:
        cases: how many first cases are the commissioning where there are no days.
        window: the commissioning's days as seconds since the epoch, beginning and end; None if not by days.
        measure: what is watched.
        smoothing: how the drift is looked for.
    """

    cases: int
    window: tuple[float, float] | None
    measure: Measure
    smoothing: Smoothing

    @classmethod
    def of(cls, commissioning: Commissioning, alarm: DriftAlarm, zone: str) -> Plan:
        """Days are those of the node's time zone."""
        days = (commissioning.from_day, commissioning.until_day)
        window = None
        if any(day is not None for day in days):
            begins, ends = (_midnight(day, zone) for day in days)
            window = (0.0 if begins is None else begins, float("inf") if ends is None else ends)
        smoothing = Smoothing(alarm.weight, alarm.width)
        return cls(commissioning.cases, window, CHARTED[alarm.measure], smoothing)


@dataclass(frozen=True, slots=True)
class Drift:
    """A structure became worse.

    Attributes:
        began: number of the point at which the average left its limit.
        at: when that case was reviewed, seconds since the epoch.
        acknowledged_at: when a person said that they know; None while nobody has.
    """

    began: int
    at: float
    acknowledged_at: float | None


@dataclass(frozen=True, slots=True)
class StructureChart:
    """One structure under one protocol and model version.

    Attributes:
        group: of which; the senders together.
        measure: what is charted.
        reviewed: the cases, one for each point.
        in_commissioning: for each point.
        wanted: cases that a commissioning by number needs.
        limits: None as long as the commissioning lacks cases.
        points: in the order of review.
        drifts: the oldest first; at most the last is not acknowledged.
        acknowledged: ascending: when people acknowledged that it drifts.
    """

    group: Group
    measure: Measure
    reviewed: tuple[ReviewedStructure, ...]
    in_commissioning: tuple[bool, ...]
    wanted: int
    limits: Limits | None
    points: tuple[Point, ...]
    drifts: tuple[Drift, ...]
    acknowledged: tuple[float, ...] = ()

    @property
    def drift(self) -> Drift | None:
        """The one that nobody has acknowledged."""
        return self.drifts[-1] if self.drifts and self.drifts[-1].acknowledged_at is None else None

    @property
    def state(self) -> State:
        """As a whole."""
        if self.limits is None:
            return State.COMMISSIONING
        return State.IN_CONTROL if self.drift is None else State.DRIFT

    @property
    def outliers(self) -> list[tuple[ReviewedStructure, Point]]:
        """Single cases beyond their limit, the newest first."""
        both = zip(self.reviewed, self.points, strict=True)
        return [(case, point) for case, point in both if point.is_outlier][::-1]


def charts(
    reviewed: Iterable[ReviewedStructure],
    plan: Plan,
    acknowledged: Mapping[Group, Sequence[float]],
    measure: Measure | None = None,
) -> list[StructureChart]:
    """One for each structure, protocol and model version, in that order, by the time of their first case.

    Args:
        reviewed: of the ledger.
        plan: the configuration.
        acknowledged: by group without sender, ascending: when people acknowledged a drift.
        measure: what is charted if not what is watched; drifts are those of this measure then.
    """
    charted = measure or plan.measure
    cases: dict[Group, list[ReviewedStructure]] = {}
    for each in measured(reviewed):
        if charted.key in each.measures:
            cases.setdefault(group_of(each, by_sender=False), []).append(each)
    found = [
        _chart(group, members, plan, charted, acknowledged.get(group, ())) for group, members in cases.items()
    ]
    return sorted(
        found,
        key=lambda c: (c.group.structure.casefold(), c.group.protocol, c.group.is_shadow, c.points[0].at),
    )


def _chart(
    group: Group,
    members: Sequence[ReviewedStructure],
    plan: Plan,
    measure: Measure,
    acknowledged: Sequence[float],
) -> StructureChart:
    flags = commissioning_of([each.received_at for each in members], plan)
    values = [(each.received_at, each.measures[measure.key]) for each in members]
    limits, points = chart(values, flags, measure, plan.smoothing, acknowledged)
    drifts = _drifts(points, acknowledged)
    return StructureChart(
        group=group,
        measure=measure,
        reviewed=tuple(members),
        in_commissioning=tuple(flags),
        wanted=plan.cases,
        limits=limits,
        points=tuple(points),
        drifts=tuple(drifts),
        acknowledged=tuple(acknowledged),
    )


def commissioning_of(reviewed_at: Sequence[float], plan: Plan) -> list[bool]:
    """Which cases belong to the commissioning; none as long as there are too few.

    By days if any case fell into them, else the first ones: a model version that came later has its own.
    """
    if plan.window is not None:
        begins, ends = plan.window
        inside = [begins <= at < ends for at in reviewed_at]
        if any(inside):
            return inside if sum(inside) >= FEWEST else [False] * len(inside)
    enough = len(reviewed_at) >= plan.cases
    return [enough and number < plan.cases for number in range(len(reviewed_at))]


def _drifts(points: Sequence[Point], acknowledged: Sequence[float]) -> list[Drift]:
    """At most one between two acknowledgements."""
    found = []
    after = float("-inf")
    for until in (*acknowledged, None):
        began = next(
            (
                (number, point)
                for number, point in enumerate(points)
                if point.signals and point.at >= after and (until is None or point.at < until)
            ),
            None,
        )
        if began is not None:
            found.append(Drift(began[0], began[1].at, until))
        after = after if until is None else until
    return found


def _midnight(day: str | None, zone: str) -> float | None:
    if day is None:
        return None
    return datetime.combine(date.fromisoformat(day), time(), ZoneInfo(zone)).timestamp()
