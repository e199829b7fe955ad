"""Checks of the CT itself: whether it is like those that the model learned from, and shows the whole body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.cards.statistics_card import BODY_PERCENTILES, CtStatistics, Range
from models.second_look.measuring import CtLook
from models.second_look.noticed import ENOUGH_CASES, Noticed, amounts_of, is_beyond, widened

_BODY_HU: Final = 40.0
_NOISE_HU: Final = 8.0
_DIAMETER_MM: Final = 30.0
_SPACING_MM: Final = 0.75
_PIXEL_MM: Final = 1.2
_EDGE_SLICES: Final = 0.1


def check_numbers(look: CtLook, usual: CtStatistics, model: str) -> Iterator[Noticed]:
    """CT numbers of the body and their noise, against the CTs of the training cases."""
    if usual.cases < ENOUGH_CASES:
        return
    for percent, value, seen in zip(BODY_PERCENTILES, look.body_hu, usual.body_hu, strict=True):
        room_hu = _BODY_HU * (2 if percent == BODY_PERCENTILES[-1] else 1)  # bone and contrast differ more
        if is_beyond(value, widened(seen, room_hu)):
            what = "half" if percent == 50 else f"{percent} %"
            sentence = (
                f"The CT numbers are unlike those that {model} learned from: {what} of the body is below "
                f"{value:.0f} HU, in the training cases below {seen[0]:.0f} to {seen[1]:.0f} HU. "
                "Check every structure."
            )
            amounts = amounts_of(f"percentile_{percent}_hu", value, seen)
            yield Noticed("ct.numbers-unlike-training", sentence, None, amounts)
            break  # one is enough: they go together
    if look.noise_hu > widened(usual.noise_hu, _NOISE_HU)[1]:
        sentence = (
            f"The CT is noisier than any that {model} learned from: {look.noise_hu:.0f} HU, in the training "
            f"cases {usual.noise_hu[0]:.0f} to {usual.noise_hu[1]:.0f} HU. Check every structure."
        )
        amounts = amounts_of("noise_hu", look.noise_hu, usual.noise_hu)
        yield Noticed("ct.numbers-unlike-training", sentence, None, amounts)


def check_geometry(look: CtLook, usual: CtStatistics, model: str) -> Iterator[Noticed]:
    """Slice spacing, pixels and the size of the body, against the CTs of the training cases."""
    if usual.cases < ENOUGH_CASES:
        return
    amounts: tuple[tuple[str, str, float, Range, float], ...] = (
        (
            "slice_spacing_mm",
            "slices are {} mm apart",
            look.slice_spacing_mm,
            usual.slice_spacing_mm,
            _SPACING_MM,
        ),
        ("pixel_mm", "pixels are {} mm wide", look.pixel_mm, usual.pixel_mm, _PIXEL_MM),
        (
            "body_diameter_mm",
            "the body is {} mm across",
            look.body_diameter_mm,
            usual.body_diameter_mm,
            _DIAMETER_MM,
        ),
    )
    for name, words, value, seen, room_mm in amounts:
        if is_beyond(value, widened(seen, room_mm)):
            said = words.format(f"{value:.3g}")
            sentence = (
                f"The CT is unlike those that {model} learned from: {said}, in the training cases "
                f"{seen[0]:.3g} to {seen[1]:.3g} mm."
            )
            yield Noticed("ct.geometry-unlike-training", sentence, None, amounts_of(name, value, seen))


def check_edges(look: CtLook) -> Iterator[Noticed]:
    """Whether the body leaves the image at the sides or in front."""
    if look.edge_slices > _EDGE_SLICES:
        sentence = (
            f"The body is cut off at an edge of the image on {look.edge_slices * 100:.0f} % of the slices: "
            "its outline and what lies there are not whole."
        )
        yield Noticed("ct.body-cut", sentence, None, {"edge_slices_share": look.edge_slices})
