"""A structure drifts: who is told, who has acknowledged it, and that both stay known.

An acknowledgement is an entry of the audit trail, which nobody can change: there is no second place that
could say otherwise. It restarts the moving average, so what goes on drifting is told again, as another drift.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from service.backlog import review_tables
from service.backlog.database import LedgerRefused
from service.backlog.watchdog import Alarm
from service.evaluation.quality import Plan, StructureChart, charts
from service.evaluation.summary import Group

if TYPE_CHECKING:
    from service.backlog.audit import AuditTrail
    from service.backlog.ledger import Ledger

ACKNOWLEDGED: Final = "quality.acknowledged"
DRIFT: Final = "quality.drift"
_AGAIN_SECONDS: Final = 3600.0  # a set may be compared anew, which adds no row
_LOOKS_BACK: Final = 10  # cases whose median the sentence tells beside that of commissioning


def acknowledgements(audit: AuditTrail, plan: Plan) -> dict[Group, list[float]]:
    """By group, ascending: when people acknowledged that it drifts, in the measure that is watched."""
    found: dict[Group, list[float]] = {}
    for entry in audit.coded(ACKNOWLEDGED):
        if entry.facts.get("measure") == plan.measure.key:
            named = {name: entry.facts[name] for name in ("structure", "protocol", "model", "is_shadow")}
            found.setdefault(Group(**named), []).append(entry.at)
    return found


def acknowledge(
    ledger: Ledger, audit: AuditTrail, plan: Plan, group: Group, who: str, address: str | None = None
) -> None:
    """Write down that a person knows of the drift of a group.

    Raises:
        LedgerRefused: ``quality.no-drift``: it does not drift, or somebody was quicker.
    """
    reviewed = ledger.find_reviewed_structures(
        structure=group.structure, protocol=group.protocol, model=group.model, is_shadow=group.is_shadow
    )
    drifting = [each for each in charts(reviewed, plan, acknowledgements(audit, plan)) if each.drift]
    if not drifting:
        sentence = "This structure has no alarm that waits to be acknowledged. Load the page again."
        raise LedgerRefused("quality.no-drift", sentence)
    named = {name: value for name, value in asdict(group).items() if name != "sender"}
    chart = drifting[0]
    case = None if chart.drift is None else chart.reviewed[chart.drift.began].job_id
    facts = named | {"measure": plan.measure.key}
    audit.record(ACKNOWLEDGED, who=who, address=address, job_id=case, facts=facts)


class DriftWatch:
    """What the watchdog is told of drifts; looks at the ledger when something came back, and once an hour.

    Args:
        ledger: what came back.
        audit: what people acknowledged.
        plan: gives the configuration in force.
    """

    def __init__(self, ledger: Ledger, audit: AuditTrail, plan: Callable[[], Plan]) -> None:
        self._ledger = ledger
        self._audit = audit
        self._plan = plan
        self._seen: tuple[int, Plan, int] | None = None
        self._alarms: Sequence[Alarm] = ()

    def __call__(self) -> Sequence[Alarm]:
        """Every drift that nobody has acknowledged when it was first seen; each is told once."""
        t, plan = review_tables.reviewed_structure, self._plan()
        with self._ledger.reading() as conn:
            newest = conn.execute(sa.select(sa.func.max(t.c.id))).scalar()
        seen = (int(newest or 0), plan, int(time.monotonic() // _AGAIN_SECONDS))
        if newest is not None and self._seen != seen:
            known = acknowledgements(self._audit, plan)
            found = charts(self._ledger.find_reviewed_structures(is_shadow=False), plan, known)
            self._alarms = list(alarms(found))
            self._seen = seen
        return self._alarms


def alarms(found: Iterable[StructureChart]) -> Iterator[Alarm]:
    """One for each chart that drifts; a shadow's contours are used by nobody and raise none."""
    for chart in found:
        if chart.drift is None or chart.group.is_shadow:
            continue
        group, known = chart.group, len(chart.acknowledged)
        reason = f"drift:{group.structure}:{group.protocol}:{group.model}:{chart.measure.key}:{known}"
        yield Alarm(reason, DRIFT, sentence_of(chart), chart.reviewed[chart.drift.began].job_id, once=True)


def sentence_of(chart: StructureChart) -> str:
    """What a person is told of a chart that drifts; no patient, no date."""
    drift, limits, measure = chart.drift, chart.limits, chart.measure
    if drift is None or limits is None:
        message = "the chart does not drift"
        raise ValueError(message)
    last = [point.value for point in chart.points if point.average is not None][-_LOOKS_BACK:]
    group = chart.group
    median = measure.told(statistics.median(last))
    return (
        f"{group.structure} of protocol {group.protocol} by {group.model} is changed more in review than "
        f"before: the last {len(last)} cases have a median {measure.label} of {median}, the {limits.n} of "
        f"commissioning had {measure.told(limits.center)}. Look at its chart on the console's page Quality, "
        "find out what changed (scanner, protocol, who reviews, the model), and acknowledge it there."
    )
