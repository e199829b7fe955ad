"""What training cases look like, for the card: a second look holds the structures of a patient against it.

Measured is what is drawn and, so that what the model does when it is right is not called unusual, what it
answers where that has a DSC of at least :data:`RIGHT_DSC` with what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import numpy as np

from models.cards.card import Card
from models.cards.statistics_card import BODY_PERCENTILES, Range
from models.data_sets.data_set import Case
from models.plausibility import FieldOfView
from models.predictor import OutputNotFinite, Predictor
from models.second_look.measuring import CtLook, StructureLook, look_at_ct, look_at_structure
from models.volume import CtVolume, OutsideTrainedRegion, StructureField

RIGHT_DSC: Final = 0.7

Progress = Callable[[float, str], None]
Looks = dict[str, StructureLook]


def statistics_of(
    predictor: Predictor,
    cases: Iterable[Case],
    count: int,
    data: str,
    progress: Progress = lambda _part, _case: None,
    asked: int | None = None,
) -> dict[str, Any]:
    """The section ``statistics`` of a card, as plain values.

    Args:
        predictor: the model that the card is of.
        cases: read one after the other.
        count: how many there are.
        data: which they are, in words.
        progress: told the part that is done, 0 to 1, and the case that is looked at.
        asked: on how many of the cases the model is run, from the first to the last; None for all.
    """
    seen = _Seen(predictor.card)
    some = count if asked is None else min(asked, count)
    for number, case in enumerate(cases):
        progress(number / count, case.name)
        is_asked = (number + 1) * some // count > number * some // count
        seen.see(predictor if is_asked else None, case)
    progress(1.0, "")
    return seen.section(data)


@dataclass(slots=True)
class _Range:
    """Grows to hold what it is shown."""

    low: float = np.inf
    high: float = -np.inf

    def see(self, value: float) -> None:
        self.low, self.high = min(self.low, value), max(self.high, value)

    def rounded(self, digits: int) -> list[float]:
        return [round(self.low, digits), round(self.high, digits)]


@dataclass(slots=True)
class _Ranges:
    """Of one kind of thing: a range for each amount, and how many cases showed it."""

    cases: int = 0
    of: dict[str, _Range] = field(default_factory=dict)

    def see(self, **values: float) -> None:
        for name, value in values.items():
            self.of.setdefault(name, _Range()).see(value)

    def plain(self, digits: Mapping[str, int]) -> dict[str, list[float]]:
        return {name: self.of[name].rounded(digits.get(name, 1)) for name in self.of}


class _Seen:
    """Everything that the cases showed so far."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._ct = _Ranges()
        self._structures = {name: _Ranges() for name in card.structures}
        self._places: dict[tuple[str, str], _Ranges] = {}

    def see(self, predictor: Predictor | None, case: Case) -> None:
        look = look_at_ct(case.volume)
        if look is not None:
            self._see_ct(look)
        drawn = {
            name: StructureField.of_mask(mask)
            for name in self._card.structures
            if name in case.masks and (mask := case.masks[name]).any()
        }
        answered = {} if predictor is None else self._right(predictor, case, drawn)
        of_drawn = self._whole(drawn, case.volume)
        of_answered = self._whole(answered, case.volume)
        for name in of_drawn:
            self._structures[name].cases += 1
        for looks in (of_drawn, of_answered):
            for name, seen in looks.items():
                self._see_structure(name, seen)
            self._see_places(looks, counted=looks is of_drawn)

    def _right(
        self, predictor: Predictor, case: Case, drawn: Mapping[str, StructureField]
    ) -> dict[str, StructureField]:
        """What the model answers where it is right."""
        try:
            said = predictor.segment(case.volume, list(drawn)).structures
        except (OutsideTrainedRegion, OutputNotFinite):
            return {}
        return {name: each for name, each in said.items() if _dsc(each, case.masks[name]) >= RIGHT_DSC}

    def _whole(self, fields: Mapping[str, StructureField], volume: CtVolume) -> Looks:
        """What is not cut off by the CT, or is always."""
        view = FieldOfView.of(volume)
        found = {}
        for name, each in fields.items():
            look = look_at_structure(each, volume.grid, volume.hu)
            out = self._card.structures[name].reaches_out
            if look is not None and (out or (look.whole and not view.is_left_by(each, volume.grid))):
                found[name] = look
        return found

    def _see_structure(self, name: str, look: StructureLook) -> None:
        amounts = {
            "volume_cm3": look.volume_cm3,
            "height_mm": look.height_mm,
            "pieces": float(look.pieces),
            "cavities_cm3": look.cavities_cm3,
            "gap_slices": float(look.gap_slices),
            "lower_end": look.end_shares[0],
            "upper_end": look.end_shares[1],
        }
        more = {"mean_hu": look.mean_hu, "std_hu": look.std_hu, "certainty": look.certainty}
        known = {key: value for key, value in more.items() if value is not None}
        self._structures[name].see(**amounts, **known)

    def _see_places(self, looks: Looks, *, counted: bool) -> None:
        whole = [name for name in self._card.structures if name in looks and looks[name].whole]
        for one, other in combinations(whole, 2):
            place = self._places.setdefault((one, other), _Ranges())
            place.cases += counted
            away_mm = (looks[one].center_lps_mm - looks[other].center_lps_mm).tolist()
            place.see(**dict(zip(("x_mm", "y_mm", "z_mm"), away_mm, strict=True)))

    def _see_ct(self, look: CtLook) -> None:
        self._ct.cases += 1
        of_body = {f"hu_{percent}": hu for percent, hu in zip(BODY_PERCENTILES, look.body_hu, strict=True)}
        self._ct.see(
            slice_spacing_mm=look.slice_spacing_mm,
            pixel_mm=look.pixel_mm,
            height_mm=look.height_mm,
            body_diameter_mm=look.body_diameter_mm,
            noise_hu=look.noise_hu,
            **of_body,
        )

    def section(self, data: str) -> dict[str, Any]:
        """As it stands in a card; what no case showed is left out."""
        found: dict[str, Any] = {"data": data}
        if self._ct.cases:
            plain = self._ct.plain({"slice_spacing_mm": 3, "pixel_mm": 3})
            body_hu = [plain.pop(f"hu_{percent}") for percent in BODY_PERCENTILES]
            found["ct"] = {"cases": self._ct.cases, **plain, "body_hu": body_hu}
        found["structures"] = {
            name: _structure(each) for name, each in self._structures.items() if each.cases
        }
        places: dict[str, dict[str, Any]] = {}
        for (one, other), each in self._places.items():
            if each.cases:
                places.setdefault(one, {})[other] = {"cases": each.cases, **each.plain({})}
        return found | {"places": places}


def _structure(seen: _Ranges) -> dict[str, Any]:
    plain: dict[str, Any] = seen.plain({"lower_end": 2, "upper_end": 2, "certainty": 3, "cavities_cm3": 2})
    ends: Sequence[Range] = [plain.pop("lower_end"), plain.pop("upper_end")]
    return {"cases": seen.cases, **plain, "end_shares": ends}


def _dsc(answer: StructureField, truth: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    inside = answer.field > 0
    both = int(np.count_nonzero(inside & truth[answer.slices_zyx]))
    return 2 * both / max(1, int(np.count_nonzero(inside)) + int(np.count_nonzero(truth)))
