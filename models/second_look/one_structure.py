"""Checks of one structure by itself, against what the training cases of its model showed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from models.cards.card import StructureCard
from models.cards.statistics_card import StructureStatistics
from models.second_look.measuring import StructureLook
from models.second_look.noticed import (
    ENOUGH_CASES,
    Noticed,
    amounts_of,
    is_beyond,
    widened,
    widened_by_factor,
)

_VOLUME_FACTOR: Final = 1.2
_HEIGHT_MM: Final = 9.0  # three slices: where a structure begins is seldom agreed on better
_CAVITY_CM3: Final = 1.0
_END_SHARE: Final = 0.15
_MEAN_HU: Final = 25.0
_CERTAINTY: Final = 0.03
_CUT_VOLUME_CM3: Final = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A structure with what its model's card says of it.

    Attributes:
        name: TG-263 name.
        look: what was measured.
        card: None of a structure that no model gave.
        usual: of the training cases; None where the card has none, or too few.
        cut: True where it is known to leave the field of view within its slices.
    """

    name: str
    look: StructureLook
    card: StructureCard | None = None
    usual: StructureStatistics | None = None
    cut: bool = False

    @property
    def whole(self) -> bool:
        """Nothing of it is cut off by the CT."""
        return self.look.whole and not self.cut


def usual_of(statistics: StructureStatistics | None) -> StructureStatistics | None:
    """The statistics of a structure if there are enough cases in them."""
    return statistics if statistics is not None and statistics.cases >= ENOUGH_CASES else None


def check_alone(seen: Seen) -> Iterator[Noticed]:
    """Everything that is noticed of a structure by itself."""
    for check in _CHECKS:
        yield from check(seen)


def _volume(seen: Seen) -> Iterator[Noticed]:
    """Volume; less than usual is no wonder where it is cut off."""
    if seen.usual is None:
        return
    volume_cm3, usual = seen.look.volume_cm3, seen.usual.volume_cm3
    low, high = widened_by_factor(usual, _VOLUME_FACTOR)
    if volume_cm3 > high or (volume_cm3 < low and seen.whole):
        sentence = (
            f"{seen.name} has {volume_cm3:.1f} cm3; in the {seen.usual.cases} training cases it had "
            f"{usual[0]:.0f} to {usual[1]:.0f} cm3."
        )
        amounts = amounts_of("volume_cm3", volume_cm3, usual)
        yield Noticed("structure.volume-beyond-training", sentence, seen.name, amounts)


def _height(seen: Seen) -> Iterator[Noticed]:
    """Extent along the slices' normal."""
    if seen.usual is None or _runs_on(seen):
        return
    height_mm, usual = seen.look.height_mm, seen.usual.height_mm
    low, high = widened(usual, _HEIGHT_MM)
    if height_mm > high or (height_mm < low and seen.whole):
        sentence = (
            f"{seen.name} is {height_mm:.0f} mm high; in the training cases it was "
            f"{usual[0]:.0f} to {usual[1]:.0f} mm."
        )
        amounts = amounts_of("height_mm", height_mm, usual)
        yield Noticed("structure.height-beyond-training", sentence, seen.name, amounts)


def _pieces(seen: Seen) -> Iterator[Noticed]:
    if seen.usual is None:
        return
    usual = seen.usual.pieces
    if seen.look.pieces > widened(usual, 0)[1]:
        sentence = (
            f"{seen.name} is in {seen.look.pieces} pieces; in the training cases at most {usual[1]:.0f}."
        )
        amounts = amounts_of("pieces", seen.look.pieces, usual)
        yield Noticed("structure.pieces-beyond-training", sentence, seen.name, amounts)


def _cavities(seen: Seen) -> Iterator[Noticed]:
    if seen.usual is None:
        return
    usual = seen.usual.cavities_cm3
    if seen.look.cavities_cm3 > widened(usual, _CAVITY_CM3)[1]:
        sentence = (
            f"{seen.name} encloses cavities of {seen.look.cavities_cm3:.1f} cm3 that are not counted to it; "
            f"in the training cases at most {usual[1]:.1f} cm3."
        )
        amounts = amounts_of("cavities_cm3", seen.look.cavities_cm3, usual)
        yield Noticed("structure.cavities", sentence, seen.name, amounts)


def _gaps(seen: Seen) -> Iterator[Noticed]:
    """Slices without it between slices with it: what comes in parts or is cut off may have them.

    What is one piece in everybody cannot; how many slices lie between two loops of bowel is chance.
    """
    usual = None if seen.usual is None else seen.usual.gap_slices
    if seen.cut or seen.card is None or (usual is None and seen.card.several_parts):
        return
    most = 0.0 if usual is None else usual[1]
    if seen.look.gap_slices > most:
        in_one_piece = most == 0 and not seen.card.several_parts
        code = "structure.slices-missing" if in_one_piece else "structure.gap-beyond-training"
        sentence = (
            f"{seen.name} is missing on {seen.look.gap_slices} of the slices between its first and its last."
        )
        amounts = {"gap_slices": float(seen.look.gap_slices), "most_gap_slices": most}
        yield Noticed(code, sentence, seen.name, amounts)


def _ends(seen: Seen) -> Iterator[Noticed]:
    """An end that is flat and wide where training cases taper off: cut, though the CT goes on."""
    if seen.usual is None or _runs_on(seen):
        return
    ends = zip(
        ("lower", "upper"), seen.look.end_shares, seen.usual.end_shares, seen.look.ends_cut, strict=True
    )
    for where, share, usual, at_end_of_ct in ends:
        if not at_end_of_ct and share > widened(usual, _END_SHARE)[1]:
            sentence = (
                f"{seen.name} ends abruptly at its {where} end, with {share * 100:.0f} % of its largest "
                f"cross-section; in the training cases with at most {usual[1] * 100:.0f} %."
            )
            amounts = amounts_of("end_share", share, usual)
            yield Noticed("structure.ends-abruptly", sentence, seen.name, amounts)


def _density(seen: Seen) -> Iterator[Noticed]:
    if seen.usual is None or seen.look.mean_hu is None:
        return
    mean_hu, usual = seen.look.mean_hu, seen.usual.mean_hu
    if is_beyond(mean_hu, widened(usual, _MEAN_HU)):
        sentence = (
            f"{seen.name} has {mean_hu:.0f} HU on average; in the training cases it had "
            f"{usual[0]:.0f} to {usual[1]:.0f} HU."
        )
        yield Noticed(
            "structure.density-beyond-training", sentence, seen.name, amounts_of("mean_hu", mean_hu, usual)
        )


def _certainty(seen: Seen) -> Iterator[Noticed]:
    usual = None if seen.usual is None else seen.usual.certainty
    if usual is None or seen.look.certainty is None or seen.look.volume_cm3 < _CUT_VOLUME_CM3:
        return
    if seen.look.certainty < widened(usual, _CERTAINTY)[0]:
        sentence = (
            f"The model is less certain of {seen.name} than in any training case: {seen.look.certainty:.2f} "
            f"on average, where it was {usual[0]:.2f} to {usual[1]:.2f}."
        )
        amounts = amounts_of("certainty", seen.look.certainty, usual)
        yield Noticed("structure.uncertain", sentence, seen.name, amounts)


def _runs_on(seen: Seen) -> bool:
    """Whether it goes on beyond the CT by nature, so that where it ends says nothing."""
    return seen.card is not None and seen.card.reaches_out


_CHECKS: Final[tuple[Callable[[Seen], Iterator[Noticed]], ...]] = (
    _volume, _height, _pieces, _cavities, _gaps, _ends, _density, _certainty,
)  # fmt: skip
