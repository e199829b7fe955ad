"""How much of the node's work survived review, by structure, protocol, sender and model version."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

import numpy as np

from service.evaluation.charted import CHARTED, measured

if TYPE_CHECKING:
    from service.backlog.review_records import ReviewedStructure

USABLE: Final = ("acceptable", "minor")
"""Grades that count as clinically acceptable, as Liu X. (2024) counts them."""

UNTOUCHED: Final = "contours_untouched"


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one measure: how many cases have it, the median, and both quartiles (linear between ranks)."""

    n: int
    first_quartile: float
    median: float
    third_quartile: float


@dataclass(frozen=True, slots=True)
class Group:
    """Whom a line of the summary is about; the sender is empty where all are taken together."""

    structure: str
    protocol: str
    model: str
    is_shadow: bool
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """One line.

    Attributes:
        group: whom it is about.
        n: structures that were compared, one for each job.
        not_compared: structures that came back but could not be compared, or did not come back.
        spreads: by the keys of ``CHARTED``, of those that have the measure.
        acceptable: share whose grade is in ``USABLE``: the reader's grade, else the estimated one; None if
            nothing has a grade.
        by_readers: how many of the grades are a reader's.
        untouched: share of structures of which no contour was touched; None if nothing was compared.
    """

    group: Group
    n: int
    not_compared: int
    spreads: Mapping[str, Spread]
    acceptable: float | None
    by_readers: int
    untouched: float | None


def group_of(reviewed: ReviewedStructure, *, by_sender: bool = True) -> Group:
    """The group that a structure counts in."""
    sender = reviewed.ct_sender if by_sender else ""
    return Group(reviewed.structure, reviewed.protocol, reviewed.model, reviewed.is_shadow, sender)


def summarise(reviewed: Iterable[ReviewedStructure], *, by_sender: bool = True) -> list[Summary]:
    """Lines in the order of structure, protocol, model version and sender."""
    groups: dict[Group, list[ReviewedStructure]] = {}
    for each in reviewed:
        if not each.superseded:
            groups.setdefault(group_of(each, by_sender=by_sender), []).append(each)
    order: Callable[[Group], tuple[str, ...]] = lambda g: (  # noqa: E731
        g.structure.casefold(), g.protocol, str(g.is_shadow), g.model, g.sender,
    )  # fmt: skip
    return [_summary(group, groups[group]) for group in sorted(groups, key=order)]


def _summary(group: Group, members: Sequence[ReviewedStructure]) -> Summary:
    compared = measured(members)
    grades = [each.reader_grade or each.estimated_grade for each in compared]
    given = [grade for grade in grades if grade is not None]
    untouched = [each.measures[UNTOUCHED] >= 1.0 for each in compared if UNTOUCHED in each.measures]
    spreads = {}
    for key in CHARTED:
        if values := [each.measures[key] for each in compared if key in each.measures]:
            low, middle, high = (float(each) for each in np.percentile(values, (25, 50, 75)))
            spreads[key] = Spread(len(values), low, middle, high)
    return Summary(
        group=group,
        n=len(compared),
        not_compared=len(members) - len(compared),
        spreads=spreads,
        acceptable=sum(grade in USABLE for grade in given) / len(given) if given else None,
        by_readers=sum(each.reader_grade is not None for each in compared),
        untouched=sum(untouched) / len(untouched) if untouched else None,
    )


def write_csv(lines: Iterable[Summary], stream: TextIO) -> None:
    """A table for spreadsheets: a line for each summary, numbers in full, empty where there is none."""
    writer = csv.writer(stream, lineterminator="\n")
    spreads = [f"{key}_{part}" for key in CHARTED for part in ("median", "q1", "q3")]
    writer.writerow(
        ["structure", "protocol", "model", "shadow", "sender", "n", "not_compared", "share_acceptable",
         "graded_by_readers", "share_untouched", *spreads]
    )  # fmt: skip
    for line in lines:
        g = line.group
        numbers: list[object] = []
        for key in CHARTED:
            spread = line.spreads.get(key)
            numbers += ["", "", ""] if spread is None else [
                f"{each:.6g}" for each in (spread.median, spread.first_quartile, spread.third_quartile)
            ]  # fmt: skip
        shares = ["" if each is None else f"{each:.6g}" for each in (line.acceptable, line.untouched)]
        names = [_harmless(each) for each in (g.structure, g.protocol, g.model)]
        writer.writerow(
            [*names, int(g.is_shadow), _harmless(g.sender), line.n, line.not_compared, shares[0],
             line.by_readers, shares[1], *numbers]
        )  # fmt: skip


def _harmless(text: str) -> str:
    """A spreadsheet takes a text that begins so for a formula; an AE title may."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text
