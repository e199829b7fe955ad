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
_EVERYDAY_SPACING_MM: Final = (1.0, 5.0)  # of planning CT anywhere: a model is shown its own spacing
_EVERYDAY_PIXEL_MM: Final = (0.6, 1.6)
_EDGE_SLICES: Final = 0.1
_WRONG_HU: Final = 80.0  # contrast lifts muscle by a third of this


def check_numbers(look: CtLook, usual: CtStatistics, model: str) -> Iterator[Noticed]:
    """CT numbers of the body and their noise, against the CTs of the training cases."""
    if usual.cases < ENOUGH_CASES:
        return
    wrong = _wrong_numbers(look, usual)
    if wrong is not None:
        yield wrong
    else:
        yield from _unlike_numbers(look, usual, model)
    if look.noise_hu > widened(usual.noise_hu, _NOISE_HU)[1]:
        sentence = (
            f"The CT is noisier than any that {model} learned from: {look.noise_hu:.0f} HU, in the training "
            f"cases {usual.noise_hu[0]:.0f} to {usual.noise_hu[1]:.0f} HU. Check every structure."
        )
        amounts = amounts_of("noise_hu", look.noise_hu, usual.noise_hu)
        yield Noticed("ct.numbers-unlike-training", sentence, None, amounts)


def _wrong_numbers(look: CtLook, usual: CtStatistics) -> Noticed | None:
    """Numbers of no body: fat and muscle may change places, but none is below fat, nor most above muscle.

    Lean and obese patients move the quarters inwards, and metal, bone and gas move what lies beyond them.
    """
    quarter, three = BODY_PERCENTILES.index(25), BODY_PERCENTILES.index(75)
    lowest_hu, highest_hu = look.body_hu[quarter], look.body_hu[three]
    if highest_hu > usual.body_hu[three][1] + _WRONG_HU:
        seen, value, what = usual.body_hu[three], highest_hu, "above"
    elif lowest_hu < usual.body_hu[quarter][0] - _WRONG_HU:
        seen, value, what = usual.body_hu[quarter], lowest_hu, "below"
    else:
        return None
    sentence = (
        f"The CT numbers are those of no body: a quarter is {what} {value:.0f} HU, in the training cases "
        f"{what} {seen[0]:.0f} to {seen[1]:.0f} HU. Is the rescale of this CT right? Check every structure."
    )
    return Noticed("ct.numbers-wrong", sentence, None, amounts_of("quarter_hu", value, seen))


def _unlike_numbers(look: CtLook, usual: CtStatistics, model: str) -> Iterator[Noticed]:
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


def check_geometry(look: CtLook, usual: CtStatistics, model: str) -> Iterator[Noticed]:
    """Slice spacing, pixels and the size of the body, against the CTs of the training cases."""
    if usual.cases < ENOUGH_CASES:
        return
    spacing_mm, pixel_mm, body_mm = look.slice_spacing_mm, look.pixel_mm, look.body_diameter_mm
    amounts: tuple[tuple[str, str, float, Range, float, Range | None], ...] = (
        ("slice_spacing_mm", "slices are {} mm apart", spacing_mm, usual.slice_spacing_mm, _SPACING_MM,
         _EVERYDAY_SPACING_MM),
        ("pixel_mm", "pixels are {} mm wide", pixel_mm, usual.pixel_mm, _PIXEL_MM, _EVERYDAY_PIXEL_MM),
        ("body_diameter_mm", "the body is {} mm across", body_mm, usual.body_diameter_mm, _DIAMETER_MM, None),
    )  # fmt: skip
    for name, words, value, seen, room_mm, everyday in amounts:
        is_everyday = everyday is not None and not is_beyond(value, everyday)
        if not is_everyday and is_beyond(value, widened(seen, room_mm)):
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
