"""The report of quality as one page that loads nothing: tables, control charts, agreement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from models.evaluation.html_page import contents, heading, page, paragraph, table
from service.backlog.review_records import GRADES
from service.evaluation.charted import CHARTED
from service.evaluation.drawing import STYLE, Words, control_chart
from service.evaluation.quality import State

if TYPE_CHECKING:
    from service.backlog.review_records import ReviewedStructure
    from service.evaluation.agreement import Agreement
    from service.evaluation.overview import Overview
    from service.evaluation.quality import StructureChart
    from service.evaluation.summary import Summary

SHOWN: Final = ("dsc", "surface_dsc", "hd95_mm", "added_path_mm")
"""Measures of the table at a glance; the CSV has all."""

HEAD: Final = ("structure", "protocol", "model", "sender", "n", *(CHARTED[key].label for key in SHOWN),
               "acceptable", "untouched", "not compared")  # fmt: skip
STATES: Final = {
    State.COMMISSIONING: "in commissioning",
    State.IN_CONTROL: "in control",
    State.DRIFT: "DRIFT",
}
_LEGEND: Final = (
    "Above: rings are cases of the commissioning (shaded), dots later ones, crosses outliers; dotted the "
    "median, dashed the limit of single cases. Below: the moving average of ranks with its limit; a full "
    "triangle is a drift that nobody has acknowledged, a hollow one a drift that somebody has."
)


def cells(line: Summary) -> list[str]:
    """A line of the table at a glance: medians with quartiles, shares in percent."""
    group = line.group
    told = []
    for key in SHOWN:
        spread, measure = line.spreads.get(key), CHARTED[key]
        if spread is None:
            told.append("–")
            continue
        ends = (measure.told(spread.first_quartile), measure.told(spread.third_quartile))
        told.append(f"{measure.told(spread.median)} ({ends[0]} – {ends[1]})")
    model = f"{group.model} (shadow)" if group.is_shadow else group.model
    shares = [percent(each) for each in (line.acceptable, line.untouched)]
    names = [group.structure, group.protocol, model, group.sender]
    return [*names, str(line.n), *told, *shares, str(line.not_compared)]


def percent(share: float | None) -> str:
    """A share in whole percent; a dash if there is none."""
    return "–" if share is None else f"{100 * share:.0f} %"


def told_state(chart: StructureChart) -> str:
    """The state, and in commissioning how far it is."""
    if chart.state is State.COMMISSIONING:
        return f"{STATES[chart.state]}: {len(chart.points)} of {chart.wanted}"
    return STATES[chart.state]


def grade_of(case: ReviewedStructure) -> str:
    """The reader's grade, else the estimated one, else a dash."""
    return case.reader_grade or case.estimated_grade or "–"


def told_kappa(agreement: Agreement) -> str:
    """Kappa with its interval, or that there is none."""
    if agreement.kappa is None or agreement.interval is None:
        return f"{agreement.n} graded by both; no kappa from one grade alone"
    low, high = agreement.interval
    kappa = f"weighted kappa {agreement.kappa:.2f} ({low:.2f} – {high:.2f})"
    return f"{agreement.n} graded by both, {agreement.same} alike; {kappa}"


def html_report(found: Overview, node: str, made: str, day: Callable[[float], str]) -> str:
    """The whole page.

    Args:
        found: what there is.
        node: AE title of the node.
        made: when, for people.
        day: a moment as people read it.
    """
    by_structure = found.by_structure()
    charted = [(f"{name}, {protocol}", f"chart-{k}") for k, (name, protocol) in enumerate(by_structure)]
    chapters = [("Summary", "summary"), *charted, ("Agreement", "agreement")]
    parts = [
        f"<style>{STYLE}</style>",
        paragraph(f"Node {node}, {made}. What reviewers left of the contours that the node made."),
        contents(chapters),
        heading("Summary", "summary"),
        table(
            "Medians with first and third quartiles; one line for each sender of CT",
            HEAD,
            map(cells, found.lines),
        ),
    ]
    for number, ((structure, protocol), versions) in enumerate(by_structure.items()):
        parts += [heading(f"{structure}, {protocol}", f"chart-{number}"), *_of_structure(versions, day)]
    parts += [heading("Agreement", "agreement"), *agreement_parts(found.agreement)]
    return page("What clinicians changed", parts)


def agreement_parts(agreement: Agreement) -> Iterator[str]:
    """The table of estimated against readers' grades, and kappa."""
    lines = [[f"estimated {GRADES[i]}", *map(str, row)] for i, row in enumerate(agreement.counts)]
    yield paragraph(told_kappa(agreement))
    yield table("Estimated grade by lines, the reader's by columns", ["", *GRADES], lines)


def _of_structure(versions: Sequence[StructureChart], day: Callable[[float], str]) -> Iterator[str]:
    measure = versions[0].measure
    words = Words(
        title=f"Control chart of {measure.label}",
        day=day,
        point=lambda told, at: f"{measure.label} {told}, {day(at)}",
    )
    said = f"<figcaption>{escape(measure.label)}. {_LEGEND}</figcaption>"
    yield f"<figure>{control_chart(versions, words)}{said}</figure>"
    head = ["model", "state", "cases", "commissioning", "median", "limit", "outliers", "drifts"]
    yield table("Limits", head, [_limits(each) for each in versions])
    for each in versions:
        if each.drift is not None:
            yield paragraph(f"{each.group.model} drifts since {day(each.drift.at)}.", "warning")
    outliers = [
        [case.job_id, case.model, measure.told(point.value), day(point.at), grade_of(case)]
        for each in versions
        for case, point in each.outliers
    ]
    if outliers:
        yield table(
            "Outliers, the newest first", ["job", "model", measure.label, "reviewed", "grade"], outliers
        )


def _limits(chart: StructureChart) -> list[str]:
    measure, limits = chart.measure, chart.limits
    model = f"{chart.group.model} (shadow)" if chart.group.is_shadow else chart.group.model
    told = ["–"] * 3 if limits is None else [
        str(limits.n), measure.told(limits.center), measure.told(limits.limit)
    ]  # fmt: skip
    counts = [str(len(each)) for each in (chart.points, chart.outliers, chart.drifts)]
    return [model, told_state(chart), counts[0], *told, *counts[1:]]
