"""Whether slices are evenly spaced, have holes, or change their spacing on purpose.

A stack is *regular* when every slice lies within 0.1 mm of evenly spaced positions. What is not regular is
either a hole (a gap that is a whole multiple of the spacing around it: a slice is missing), non-uniform (each
spacing lasts three gaps or more: the scanner was told so; accepted and flagged), or refused.

One slice that stands twice the spacing off at the very end of an otherwise even stack has a neighbour on one
side only, so nothing tells a hole from an end that was cut there: accepted and flagged. Such series exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Refusal = tuple[str, str]

JITTER_MM: Final = 0.1
"""A slice may lie this far from its place in an even stack."""

ESTABLISHED_GAPS: Final = 3
"""A spacing that lasts this many gaps was meant."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in the stack.

    Attributes:
        after: index into ``StackGeometry.order`` of the last slice before the hole.
        from_mm, to_mm: where the slices on either side lie: patient z for a transverse stack, else the
            distance along the normal from the first slice.
        missing: how many slices are missing, at least.
    """

    after: int
    from_mm: float
    to_mm: float
    missing: int


@dataclass(frozen=True, slots=True)
class Spacing:
    """What the gaps of a stack are.

    Attributes:
        holes: where slices are missing; the stack is then refused.
        ends: the gap at either end that is twice the spacing, if any; accepted.
        non_uniform: the spacing is not the same along the stack, and that is accepted.
        refusal: stable code and a sentence for people, or None.
    """

    holes: tuple[Gap, ...] = ()
    ends: tuple[Gap, ...] = ()
    non_uniform: bool = False
    refusal: Refusal | None = None


def judge_spacing(offsets: FloatArray, places: FloatArray, firsts: NDArray[np.intp], axis: str) -> Spacing:
    """Say what the gaps of a stack are.

    Args:
        offsets: ``(m,)`` distinct positions along the normal, ascending, mm.
        places: ``(m,)`` the same positions as people are told them, mm.
        firsts: ``(m,)`` index into the stack's order of the slice on each position.
        axis: what ``places`` measures, for the sentence.
    """
    if len(offsets) < 3 or _regular(offsets):
        return Spacing()
    runs = _runs(offsets)
    steps = np.diff(offsets)
    established = [(start, n) for start, n in runs if n >= ESTABLISHED_GAPS]
    brief = [gap for start, n in runs if n < ESTABLISHED_GAPS for gap in range(start, start + n)]
    holes: list[Gap] = []
    ends: list[Gap] = []
    for gap in brief:
        around = _around(gap, established, steps)
        times = min(_whole_multiple(steps[gap], base) for base in around)
        if times == 0:
            return Spacing(refusal=_irregular(steps[gap], around, places[gap], axis))
        if times > 1:
            at_end = times == 2 and bool(established) and gap in (0, len(steps) - 1)
            found = Gap(int(firsts[gap + 1]) - 1, float(places[gap]), float(places[gap + 1]), times - 1)
            (ends if at_end else holes).append(found)
    if holes:
        return Spacing(holes=tuple(holes), refusal=_hole(holes, axis))
    odd = [gap for gap in brief if 0 < gap < len(steps) - 1] if len(ends) < len(brief) else []
    odd += _not_a_change(established, steps)
    if odd:
        gap = odd[0]
        return Spacing(refusal=_irregular(steps[gap], _around(gap, established, steps), places[gap], axis))
    return Spacing(ends=tuple(ends), non_uniform=True)


def _not_a_change(established: list[tuple[int, int]], steps: FloatArray) -> list[int]:
    """Gaps where one run ends and the next has the same spacing: a slice out of place, not a new spacing."""
    spacings = [float(np.median(steps[start : start + n])) for start, n in established]
    pairs = zip(established, spacings, established[1:], spacings[1:], strict=False)
    return [
        first[0] + int(np.argmax(np.abs(steps[first[0] : second[0] + 1] - spacing)))
        for first, spacing, second, other in pairs
        if second[0] == first[0] + first[1] and abs(spacing - other) <= tolerance_mm(spacing)
    ]


def regular_within_mm(offsets_mm: ArrayLike) -> float:
    """How far the worst slice lies from the evenly spaced positions that fit the stack best, mm."""
    offsets = np.asarray(offsets_mm, dtype=np.float64)
    if len(offsets) < 3:
        return 0.0
    index = np.arange(len(offsets))
    steps = np.diff(offsets)
    low, high = float(steps.min()), float(steps.max())
    for _ in range(60):  # the spread is convex in the step: narrow it by thirds
        one, two = low + (high - low) / 3, high - (high - low) / 3
        if np.ptp(offsets - one * index) <= np.ptp(offsets - two * index):
            high = two
        else:
            low = one
    return float(np.ptp(offsets - (low + high) / 2 * index)) / 2


def tolerance_mm(spacing_mm: float) -> float:
    """Jitter allowed at this spacing: so small that a missing slice can never pass for jitter."""
    return min(JITTER_MM, spacing_mm / 6)


def _runs(offsets: FloatArray) -> list[tuple[int, int]]:
    """The stack cut into the longest regular runs, as (first gap, gaps)."""
    runs = []
    start, last = 0, len(offsets) - 1
    while start < last:
        good, bad = 1, last - start + 1
        while bad - good > 1:  # regular is monotone in length: bisect
            middle = (good + bad) // 2
            good, bad = (middle, bad) if _regular(offsets[start : start + middle + 1]) else (good, middle)
        runs.append((start, good))
        start += good
    return runs


def _regular(offsets: FloatArray) -> bool:
    spacing = float(np.median(np.diff(offsets)))
    return regular_within_mm(offsets) <= tolerance_mm(spacing) + 1e-6


def _around(gap: int, established: list[tuple[int, int]], steps: FloatArray) -> list[float]:
    """The spacings to measure a gap by: of the established runs on either side, else the smallest gap."""
    before = [run for run in established if run[0] < gap][-1:]
    after = [run for run in established if run[0] > gap][:1]
    return [float(np.median(steps[s : s + n])) for s, n in before + after] or [float(steps.min())]


def _whole_multiple(gap_mm: float, base_mm: float) -> int:
    """How many times the base fits into the gap; 0 if not a whole number of times."""
    times = round(gap_mm / base_mm)
    return times if abs(gap_mm - times * base_mm) <= 2 * tolerance_mm(base_mm) else 0


def _hole(holes: list[Gap], axis: str) -> Refusal:
    missing = sum(hole.missing for hole in holes)
    where = "; ".join(
        f"{hole.missing} between {axis} = {hole.from_mm:.1f} and {hole.to_mm:.1f} mm" for hole in holes[:3]
    )
    more = f"; more in {len(holes) - 3} other places" if len(holes) > 3 else ""
    noun = "slice is" if missing == 1 else "slices are"
    return "series.hole", f"{missing} {noun} missing: {where}{more}. Send the whole series again."


def _irregular(gap_mm: float, around_mm: list[float], place_mm: float, axis: str) -> Refusal:
    around = " and ".join(f"{spacing:.2f}" for spacing in around_mm)
    return (
        "series.spacing-irregular",
        f"The distance to the next slice is {gap_mm:.2f} mm at {axis} = {place_mm:.1f} mm, but the "
        f"spacing there is {around} mm: neither an even stack nor a missing slice. "
        "Export the CT again, evenly spaced.",
    )
