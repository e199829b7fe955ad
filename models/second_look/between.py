"""Checks of structures against one another: sides, order, common voxels, the outline of the body, metal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np

from models.cards.statistics_card import PlaceStatistics, Range
from models.plausibility import WRONG_SIDE_MM
from models.second_look.noticed import ENOUGH_CASES, Noticed, is_beyond, widened
from models.second_look.one_structure import Seen
from models.tg263 import side_of
from models.volume import FloatArray, Grid, StructureField

METAL_NEAR_MM: Final = 20.0

_MIDLINE: Final = ("Sacrum", "SpinalCanal", "SpinalCord", "Spine")
_PLACE_MM: Final = 8.0
_ORDER_MM: Final = 10.0  # centres that training cases never had so close are in an order
_METAL_CM3: Final = 0.3
_SHARED_CM3: Final = 3.0
_SHARED_PART: Final = 0.05
_BEYOND_BORDER: Final = 0.2  # 3 mm of doubt along all of a border are less of the smaller one
_BEYOND_BONE: Final = 0.1  # bone has a sharp border: 2 mm of doubt along a joint are less
_OUTSIDE_CM3: Final = 1.0
_OUTSIDE_PART: Final = 0.02
_FROM_EXTERNAL: Final = 0.05  # more of External than this outside itself is External's fault
_MOST_OTHERS: Final = 0.4  # as seen from so many of the others a place must be odd to be told
_ORDERS: Final = ("structure.order-wrong", "structure.order-unusual")
_AXES: Final = (("to the left of", "to the right of"), ("behind", "in front of"), ("above", "below"))

_ORDERED_AXES: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(
        ("Femur_Head_L", "Femur_Head_R", "Femur_L", "Femur_R", "Bone_Pelvic_L", "Bone_Pelvic_R", "Sacrum"),
        (0, 1, 2),
    ),
    **dict.fromkeys(("Bladder", "Rectum", "Prostate"), (0, 1)),  # a bladder of 800 ml is as high as S1
}
"""Axes (x, y, z) along which the order of two of these is the same in everybody, however full they are."""

APART: Final = frozenset(
    {
        "Bladder", "Rectum", "Colon", "Bowel_Small", "Prostate", "Uterus", "Femur_Head_L", "Femur_Head_R",
        "Bone_Pelvic_L", "Bone_Pelvic_R", "Sacrum", "Spine", "SpinalCanal", "Kidney_L", "Kidney_R", "Liver",
        "Spleen", "Lung_L", "Lung_R", "Heart",
    }
)  # fmt: skip
"""Organs and bones of which no two can be in one place."""

_BONES: Final = frozenset(
    {"Femur_Head_L", "Femur_Head_R", "Bone_Pelvic_L", "Bone_Pelvic_R", "Sacrum", "Spine", "SpinalCanal"}
)


def check_sides(seen: Sequence[Seen]) -> Iterator[Noticed]:
    """Structures whose names say left or right and whose centres say the other, whoever gave them."""
    x_mm = {each.name: float(each.look.center_lps_mm[0]) for each in seen}
    middle = next((x_mm[name] for name in _MIDLINE if name in x_mm), None)
    wrong: dict[str, float] = {}
    for name, at in x_mm.items():
        side = side_of(name)
        if side is None:
            continue
        sign = 1 if side == "L" else -1
        other = x_mm.get(name[:-1] + ("R" if side == "L" else "L"))
        if other is not None and (at - other) * sign <= 0:
            wrong[name] = at - other
        elif middle is not None and (at - middle) * sign < -WRONG_SIDE_MM:
            wrong[name] = at - middle
    for name, across_mm in sorted(wrong.items()):
        sentence = f"{name} lies on the other side of the body and is left out. Draw it by hand."
        yield Noticed("structure.wrong-side", sentence, name, {"across_mm": across_mm})


def check_places(
    seen: Sequence[Seen], places: Mapping[str, Mapping[str, PlaceStatistics]]
) -> Iterator[Noticed]:
    """Where each whole structure lies as seen from the others, against the training cases.

    Two that lie wrongly as seen from one another do not tell which of them it is: told is the one that lies
    wrongly as seen from more of the others, and both where that is equal.
    """
    whole = {each.name: each.look.center_lps_mm for each in seen if each.whole}
    odd: dict[str, dict[str, Noticed]] = {}
    asked: dict[str, int] = {}
    for one, other in combinations(whole, 2):
        usual, sign = _place_of(one, other, places)
        if usual is None or usual.cases < ENOUGH_CASES:
            continue
        for name in (one, other):
            asked[name] = asked.get(name, 0) + 1
        away_mm = (whole[one] - whole[other]) * sign
        found = _place(*((one, other) if sign > 0 else (other, one)), away_mm, usual)
        if found is not None:
            odd.setdefault(one, {})[other] = found
            odd.setdefault(other, {})[one] = found
    yield from _blamed(odd, asked)


def _blamed(odd: dict[str, dict[str, Noticed]], asked: Mapping[str, int]) -> Iterator[Noticed]:
    """The worst is told and taken out, with those as bad as seen from it, until nothing odd is left."""

    def share(name: str) -> tuple[float, int]:
        orders = sum(each.code in _ORDERS for each in odd[name].values())
        return len(odd[name]) / asked[name], orders

    while odd:
        worst = max(odd, key=lambda name: (share(name), len(odd[name]), name))
        alike = [other for other in odd[worst] if share(other) == share(worst)]
        told = [(name, list(odd[name].values())) for name in (worst, *alike)]
        for name, of_pairs in told:
            is_order = any(each.code in _ORDERS for each in of_pairs)
            if is_order or len(of_pairs) >= _MOST_OTHERS * asked[name]:
                yield _told(name, of_pairs)
        for name, _ in told:
            for other in odd.pop(name):
                if other in odd:
                    odd[other].pop(name)
        odd = {name: left for name, left in odd.items() if left}


def _place_of(
    one: str, other: str, places: Mapping[str, Mapping[str, PlaceStatistics]]
) -> tuple[PlaceStatistics | None, int]:
    found = places.get(one, {}).get(other)
    if found is not None:
        return found, 1
    return places.get(other, {}).get(one), -1


def _place(one: str, other: str, away_mm: FloatArray, usual: PlaceStatistics) -> Noticed | None:
    """What is odd about where ``one`` lies as seen from ``other``; its order before its distance."""
    ranges: tuple[Range, ...] = (usual.x_mm, usual.y_mm, usual.z_mm)
    odd: list[Noticed] = []
    for axis, ((more, less), value, (low, high)) in enumerate(
        zip(_AXES, away_mm.tolist(), ranges, strict=True)
    ):
        if not is_beyond(value, widened((low, high), _PLACE_MM)):
            continue
        amounts = {"away_mm": value, "least_away_mm": low, "most_away_mm": high}
        way, (least, most) = (more, (low, high)) if value > 0 else (less, (-high, -low))
        where = f"{one} lies {abs(value):.0f} mm {way} {other}"
        usually = f"{least:.0f} to {most:.0f} mm"
        if (low > _ORDER_MM and value < 0) or (high < -_ORDER_MM and value > 0):
            sentence = f"{where}, where no training case has it ({usually})."
            fixed = all(axis in _ORDERED_AXES.get(name, ()) for name in (one, other))
            odd.append(Noticed(_ORDERS[0] if fixed else _ORDERS[1], sentence, one, amounts))
        else:
            sentence = f"{where}; in the training cases {usually}."
            odd.append(Noticed("structure.place-beyond-training", sentence, one, amounts))
    return min(odd, key=_rank, default=None)


def _rank(noticed: Noticed) -> int:
    """An order that nobody has goes before one that no training case had, and that before a distance."""
    return _ORDERS.index(noticed.code) if noticed.code in _ORDERS else len(_ORDERS)


def _told(name: str, of_pairs: Sequence[Noticed]) -> Noticed:
    """One sentence for a structure: the order before the distance, and how many others say the same."""
    first = min(of_pairs, key=_rank)
    more = len(of_pairs) - 1
    also = f" So it does as seen from {more} other structure{'s' if more > 1 else ''}." if more else ""
    return Noticed(first.code, f"{first.sentence}{also}", name, {**first.amounts, "others": float(more)})


def check_overlap(
    fields: Mapping[str, StructureField], names: Sequence[str], grid: Grid
) -> Iterator[Noticed]:
    """Voxels of two structures that cannot share any; told of the smaller one."""
    mm3 = grid.voxel_volumes_mm3()
    for one, other in combinations([name for name in names if name in APART], 2):
        shared_cm3 = _shared_cm3(fields[one], fields[other], mm3)
        if shared_cm3 <= _SHARED_CM3:
            continue
        volumes = {name: fields[name].volume_cm3(grid) for name in (one, other)}
        smaller = min(volumes, key=lambda name: volumes[name])
        larger = other if smaller == one else one
        if shared_cm3 > _SHARED_PART * volumes[smaller]:
            most = _BEYOND_BONE if {smaller, larger} & _BONES else _BEYOND_BORDER
            at_border = shared_cm3 <= most * volumes[smaller]
            sentence = (
                f"{smaller} and {larger} share {shared_cm3:.1f} cm3, and cannot: one of them is wrong there."
            )
            code = "structure.overlap-at-border" if at_border else "structure.overlap"
            yield Noticed(code, sentence, smaller, {"shared_cm3": shared_cm3})


def _shared_cm3(one: StructureField, other: StructureField, mm3: FloatArray) -> float:
    common = [
        slice(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(one.slices_zyx, other.slices_zyx, strict=True)
    ]
    if any(part.start >= part.stop for part in common):
        return 0.0
    both = np.ones([part.stop - part.start for part in common], dtype=bool)
    for field in (one, other):
        z, y, x = (
            slice(part.start - at, part.stop - at) for part, at in zip(common, field.corner_zyx, strict=True)
        )
        both &= field.field[z, y, x] > 0
    return float(np.count_nonzero(both, axis=(1, 2)) @ mm3[common[0]]) / 1000


def check_external(
    fields: Mapping[str, StructureField],
    names: Sequence[str],
    external: StructureField,
    grid: Grid,
    derived: Collection[str] = (),
) -> Iterator[Noticed]:
    """What of each structure lies outside the outline of the body; a margin of those ``derived`` may."""
    mm3 = grid.voxel_volumes_mm3()
    for name in names:
        if fields[name] is external:
            continue
        volume_cm3 = fields[name].volume_cm3(grid)
        outside_cm3 = volume_cm3 - _shared_cm3(fields[name], external, mm3)
        if outside_cm3 > max(_OUTSIDE_CM3, _OUTSIDE_PART * volume_cm3):
            sentence = f"{outside_cm3:.1f} cm3 of {name} lie outside External."
            which = "margin-outside" if name in derived else "outside"
            yield Noticed(f"structure.{which}-external", sentence, name, {"outside_cm3": outside_cm3})


def check_metal(
    surfaces_lps_mm: Mapping[str, FloatArray], metal_lps_mm: FloatArray, metal_cm3: float
) -> Iterator[Noticed]:
    """Structures that metal lies in or close by: streaks may have moved their surface.

    Args:
        surfaces_lps_mm: points ``(n, 3)`` of each structure's surface.
        metal_lps_mm: points ``(m, 3)`` of the metal.
        metal_cm3: how much of it there is.
    """
    if metal_cm3 < _METAL_CM3 or not len(metal_lps_mm):
        return
    low, high = metal_lps_mm.min(axis=0) - METAL_NEAR_MM, metal_lps_mm.max(axis=0) + METAL_NEAR_MM
    for name, surface in surfaces_lps_mm.items():
        near = surface[((surface >= low) & (surface <= high)).all(axis=1)]
        if not len(near):
            continue
        away_mm = min(
            float(np.linalg.norm(metal_lps_mm - point, axis=1).min())
            for point in near[:: max(1, len(near) // 400)]
        )
        if away_mm <= METAL_NEAR_MM:
            sentence = (
                f"Metal, or something as dense, lies {away_mm:.0f} mm from the surface of {name} "
                f"({metal_cm3:.1f} cm3 on this CT): check it where there are streaks."
            )
            yield Noticed(
                "structure.metal-nearby", sentence, name, {"away_mm": away_mm, "metal_cm3": metal_cm3}
            )
