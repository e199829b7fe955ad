"""The second look at one segmentation: everything is measured once, and every check is asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from models.cards.card import Card
from models.second_look.between import (
    check_external,
    check_metal,
    check_overlap,
    check_places,
    check_sides,
)
from models.second_look.measuring import (
    look_at_ct,
    look_at_structure,
    metal_points_lps_mm,
    surface_points_lps_mm,
)
from models.second_look.noticed import Noticed
from models.second_look.one_structure import Seen, check_alone, usual_of
from models.second_look.whole_ct import check_edges, check_geometry, check_numbers
from models.volume import CtVolume, Grid, StructureField

EXTERNAL = "External"


@dataclass(frozen=True, slots=True, repr=False)
class Contoured:
    """What is looked at.

    Attributes:
        fields: by structure, everything that may be delivered or that something was made of.
        grid: of the CT.
        volume: the CT; None where its numbers are not at hand, and the checks that need them say nothing.
        cards: by structure, of the model that gave it; what was derived from others is no key.
        cut: structures that are known to leave the field of view within their slices.
    """

    fields: Mapping[str, StructureField]
    grid: Grid
    volume: CtVolume | None
    cards: Mapping[str, Card]
    cut: Collection[str] = ()

    @property
    def models(self) -> dict[str, Card]:
        """The cards, each once, by reference."""
        return {card.reference: card for card in self.cards.values()}


def second_look(contoured: Contoured, only: Collection[str] | None = None) -> tuple[Noticed, ...]:
    """What is noticed, in the order of the structures; ``only``: of these, and not of the CT again."""
    names = [name for name in contoured.fields if only is None or name in only]
    seen = _measured(contoured, names)
    found = [*(_of_ct(contoured) if only is None else ())]
    for each in seen:
        found += check_alone(each)
    found += check_sides(
        seen if only is None else _measured(contoured, list(contoured.fields), shape_only=True)
    )
    for card in contoured.models.values():
        if card.statistics is not None:
            own = [each for each in seen if contoured.cards.get(each.name) is card]
            found += check_places(own, card.statistics.places)
    found += check_overlap(contoured.fields, names, contoured.grid)
    external = contoured.fields.get(EXTERNAL)
    if external is not None:
        derived = {name for name in names if name not in contoured.cards}
        found += check_external(contoured.fields, names, external, contoured.grid, derived)
    if only is not None:
        found = [each for each in found if each.structure in only]
    return tuple(found)


def _measured(contoured: Contoured, names: list[str], *, shape_only: bool = False) -> list[Seen]:
    hu = None if contoured.volume is None or shape_only else contoured.volume.hu
    seen = []
    for name in names:
        look = look_at_structure(contoured.fields[name], contoured.grid, hu)
        if look is None:
            continue
        card = contoured.cards.get(name)
        of_card = None if card is None else card.structures.get(name)
        known = None if card is None or card.statistics is None else card.statistics.structures.get(name)
        seen.append(Seen(name, look, of_card, usual_of(known), name in contoured.cut))
    return seen


def _of_ct(contoured: Contoured) -> Iterator[Noticed]:
    """The CT against the training cases of each model, and metal in it."""
    volume = contoured.volume
    look = None if volume is None else look_at_ct(volume)
    if volume is None or look is None:
        return
    for card in contoured.models.values():
        if card.statistics is not None and card.statistics.ct is not None:
            yield from check_numbers(look, card.statistics.ct, card.reference)
            yield from check_geometry(look, card.statistics.ct, card.reference)
    yield from check_edges(look)
    metal, metal_cm3 = metal_points_lps_mm(volume)
    if len(metal):
        surfaces = {
            name: surface_points_lps_mm(field, contoured.grid)
            for name, field in contoured.fields.items()
            if name != EXTERNAL
        }
        yield from check_metal(surfaces, metal, metal_cm3)
