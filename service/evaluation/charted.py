"""Which measures of a reviewed structure are told over time, and which end of each is the bad one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from service.backlog.review_records import ReviewedStructure


@dataclass(frozen=True, slots=True)
class Measure:
    """One of the measures of a reviewed structure.

    Attributes:
        key: in ``ReviewedStructure.measures``.
        label: for people, with its unit.
        higher_is_better: False for distances and lengths.
        decimals: how many are shown.
        highest: largest possible value, None if there is none; the smallest is 0.
    """

    key: str
    label: str
    higher_is_better: bool
    decimals: int
    highest: float | None = None

    def told(self, value: float | None) -> str:
        """With its decimals; a dash if there is none."""
        return "–" if value is None else f"{value:.{self.decimals}f}"

    def is_worse(self, value: float, than: float) -> bool:
        """Strictly."""
        return value < than if self.higher_is_better else value > than


CHARTED: Final[dict[str, Measure]] = {
    each.key: each
    for each in (
        Measure("dsc", "DSC", True, 3, 1.0),
        Measure("surface_dsc", "surface DSC", True, 3, 1.0),
        Measure("contours_untouched", "contours untouched (share)", True, 2, 1.0),
        Measure("worst_slice_dsc", "DSC of the worst slice", True, 3, 1.0),
        Measure("hd95_mm", "HD95 (mm)", False, 1),
        Measure("assd_mm", "ASSD (mm)", False, 2),
        Measure("added_path_mm", "added path (mm)", False, 0),
    )
}
"""Those that a chart and an alarm may be of: each has one bad end."""


def measured(reviewed: Iterable[ReviewedStructure]) -> list[ReviewedStructure]:
    """In the order of review, one for each structure of a job, without those that could not be compared.

    A set may be sent more than once, while it is worked on and when it is approved: the last one counts.
    """
    counting = [each for each in reviewed if each.measures and not each.superseded]
    return sorted(counting, key=lambda each: (each.received_at, each.id))
