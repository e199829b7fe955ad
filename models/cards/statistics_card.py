"""What training cases look like: the section ``statistics`` of a bundle's card.

Every pair is the smallest and the largest value that was seen. Lengths are in mm, volumes in cm3, CT numbers
in HU; axes are those of the patient, x to the left, y to posterior, z to head (LPS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

Range = tuple[float, float]

BODY_PERCENTILES: Final = (5, 25, 50, 75, 95)
"""Of the CT numbers of the body; the keys of ``CtStatistics.body_hu``, in order."""


@dataclass(frozen=True, slots=True)
class CtStatistics:
    """The CT.

    Attributes:
        cases: how many.
        slice_spacing_mm, pixel_mm: between slices, between pixels.
        height_mm: from the first slice to the last.
        body_diameter_mm: of a circle with the body's area, median over slices.
        body_hu: of each percentile in ``BODY_PERCENTILES`` of what is denser than fat is at its darkest.
        noise_hu: standard deviation that neighbouring pixels of the body speak for.
    """

    cases: int
    slice_spacing_mm: Range
    pixel_mm: Range
    height_mm: Range
    body_diameter_mm: Range
    body_hu: tuple[Range, Range, Range, Range, Range]
    noise_hu: Range

    def __post_init__(self) -> None:
        _ascending(self)


@dataclass(frozen=True, slots=True)
class StructureStatistics:
    """One structure, where it is not cut off by the CT.

    Attributes:
        cases: how many showed it whole.
        volume_cm3, height_mm: its size; height is along the slices' normal.
        pieces: connected over corners too, specks left out.
        cavities_cm3: what it encloses on all sides.
        gap_slices: slices without it between its first and its last.
        end_shares: its area on its lowest and on its highest slice, as parts of its largest area.
        mean_hu, std_hu: of the CT numbers within.
        certainty: mean probability of it against the best of the others; null if no network was asked.
    """

    cases: int
    volume_cm3: Range
    height_mm: Range
    pieces: Range
    cavities_cm3: Range
    gap_slices: Range
    end_shares: tuple[Range, Range]
    mean_hu: Range
    std_hu: Range
    certainty: Range | None = None

    def __post_init__(self) -> None:
        _ascending(self)


@dataclass(frozen=True, slots=True)
class PlaceStatistics:
    """Where a structure's centre lies, as seen from another's; both whole."""

    cases: int
    x_mm: Range
    y_mm: Range
    z_mm: Range

    def __post_init__(self) -> None:
        _ascending(self)


@dataclass(frozen=True, slots=True)
class Statistics:
    """All of it.

    Attributes:
        data: which cases, in words.
        ct: None where no CT was measured.
        structures: by TG-263 name.
        places: by structure, by the one that it is seen from; each two stand there once.
    """

    data: str
    ct: CtStatistics | None = None
    structures: Mapping[str, StructureStatistics] = field(default_factory=dict)
    places: Mapping[str, Mapping[str, PlaceStatistics]] = field(default_factory=dict)

    @property
    def named(self) -> set[str]:
        """Every structure that is spoken of."""
        return {*self.structures, *self.places, *(other for seen in self.places.values() for other in seen)}


def _ascending(statistics: CtStatistics | StructureStatistics | PlaceStatistics) -> None:
    """Refuse a range that runs backwards, and a number of cases below one."""
    if statistics.cases < 1:
        message = f"cases is {statistics.cases}; there is no range of no case"
        raise ValueError(message)
    for item in fields(statistics):
        value = getattr(statistics, item.name)
        if not isinstance(value, tuple):
            continue
        ranges = value if isinstance(value[0], tuple) else (value,)
        for low, high in ranges:
            if not low <= high:
                message = f"{item.name} runs from {low} to {high}; the smaller one comes first"
                raise ValueError(message)
