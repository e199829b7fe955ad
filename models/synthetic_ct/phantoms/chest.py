"""The phantom above its abdomen: chest, shoulders with raised arms, neck and head.

Not made for contouring: it is there so that a network meets ribs, lungs and a skull and learns that they are
none of its structures. Frame and landmarks as in `skeleton`.
"""

from __future__ import annotations

import numpy as np

from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.slab import Group
from models.synthetic_ct.phantoms.solids import ellipsoid, sheet, tube

Point = tuple[float, float, float]
ABDOMEN_ENDS_Z_MM = 330.0
"""Nothing here reaches lower than this, before the body's own scale."""

_RIB_HEIGHTS = (328, 352, 378, 404, 430, 455, 480, 504, 527, 549, 568, 582)
_RIB_WIDTHS = (88, 104, 118, 124, 126, 125, 122, 117, 109, 98, 82, 60)


def _lump(plan: BodyPlan, centre: Point, radii: Point, side: int = 1) -> Group:
    return [ellipsoid(plan.place(centre, side), np.array(radii) * plan.size)]


def outside(plan: BodyPlan) -> list[Group]:
    """What the body's outline gains: shoulders, raised arms, neck, head."""
    k = plan.size
    groups: list[Group] = [
        tube(plan.place([(0, 20, 560), (0, 4, 660)]), np.array([74, 60]) * k, 2),
        _lump(plan, (0, -6, 735), (76, 96, 112)),
    ]
    for side in (-1, 1):
        groups.append(tube(plan.place([(70, 28, 568), (132, 22, 566)], side), np.array([66, 58]) * k))
        groups.append(
            tube(
                plan.place([(136, 20, 570), (164, -8, 700), (150, -30, 800)], side),
                np.array([56, 46, 40]) * k,
            )
        )
    return groups


def breasts(plan: BodyPlan, smaller_mm: float = 0.0) -> list[Group]:
    """A woman's breasts, or the gland in them if made smaller; none in a man."""
    radii = (58 - smaller_mm, 50 - smaller_mm, 56 - smaller_mm)
    return [_lump(plan, (78, -88, 462), radii, side) for side in (-1, 1)] if plan.female else []


def muscles(plan: BodyPlan) -> list[Group]:
    """Pectoral muscles, those of shoulder blade, arm and neck."""
    k = plan.size
    groups: list[Group] = [tube(plan.place([(0, 30, 570), (0, 16, 660)]), np.array([60, 48]) * k, 2)]
    for side in (-1, 1):
        groups.append(
            sheet(
                plan.place([[(20, -86, 455), (20, -78, 545)], [(96, -58, 470), (120, -10, 560)]], side), 8 * k
            )
        )
        groups.append(
            sheet(
                plan.place([[(60, 84, 420), (60, 72, 560)], [(118, 56, 430), (132, 40, 560)]], side), 13 * k
            )
        )
        groups.append(
            tube(
                plan.place([(134, 20, 568), (162, -8, 700), (150, -30, 800)], side),
                np.array([44, 36, 31]) * k,
            )
        )
    return groups


def lungs(plan: BodyPlan) -> list[Group]:
    """Two lungs; liver, heart and mediastinum are painted over them."""
    return [_lump(plan, (-66, 4, 482), (56, 76, 116)), _lump(plan, (68, 8, 482), (54, 74, 114))]


def mediastinum(plan: BodyPlan) -> list[Group]:
    """What lies between the lungs."""
    return [_lump(plan, (0, 8, 500), (28, 70, 112)), _lump(plan, (16, -34, 450), (60, 46, 52))]


def heart(plan: BodyPlan) -> list[Group]:
    """The heart, to the left."""
    return [_lump(plan, (18, -34, 452), (52, 40, 46))]


def airways(plan: BodyPlan) -> list[Group]:
    """Windpipe and main bronchi."""
    k = plan.size
    trunk = tube(plan.place([(0, -2, 660), (0, 6, 590), (0, 12, 528)]), np.array([8, 8.5, 8.5]) * k, 2)
    return [
        trunk,
        *(tube(plan.place([(0, 12, 528), (34, 20, 496)], s), np.array([7, 5]) * k) for s in (-1, 1)),
    ]


def great_vessels(plan: BodyPlan) -> list[Group]:
    """Aortic arch with its descending part, and the superior vena cava."""
    k = plan.size
    arch: list[Point] = [
        (4, -30, 480),
        (-6, -24, 522),
        (8, -4, 540),
        (20, 24, 524),
        (20, 30, 460),
        (9, -4, 420),
    ]
    return [
        tube(plan.place(arch), np.array([14, 14, 13, 12, 11.5, 9]) * k, 3),
        tube(plan.place([(-22, -18, 470), (-20, -14, 560)]), np.array([10, 8]) * k, 2),
    ]


def stomach(plan: BodyPlan) -> Group:
    """The stomach under the left lung."""
    points: list[Point] = [(52, 6, 398), (56, -24, 372), (36, -50, 346), (4, -58, 336)]
    return tube(plan.place(points), np.array([34, 33, 24, 15]) * plan.size, 3)


def bones(plan: BodyPlan) -> list[Group]:
    """Ribs, breastbone, collar bones, shoulder blades, upper arms."""
    k = plan.size
    groups: list[Group] = [
        sheet(plan.place([[(-14, -84, 440), (14, -84, 440)], [(-18, -68, 552), (18, -68, 552)]]), 4.5 * k)
    ]
    for side in (-1, 1):
        for height, width in zip(_RIB_HEIGHTS, _RIB_WIDTHS, strict=True):
            groups.append(tube(plan.place(_rib(height, width), side), 5.2 * k, 2))
        groups.append(tube(plan.place([(14, -66, 556), (60, -52, 582), (116, 10, 584)], side), 6.0 * k, 2))
        blade: list[list[Point]] = [[(70, 84, 430), (66, 76, 540)], [(112, 66, 470), (116, 44, 560)]]
        groups.append(sheet(plan.place(blade, side), 3.6 * k))
        groups.append(
            tube(
                plan.place([(132, 22, 572), (140, 16, 590), (164, -8, 700), (152, -28, 780)], side),
                np.array([22, 17, 11, 13]) * k,
                2,
            )
        )
    return groups


def _rib(height: float, width: float) -> list[Point]:
    """From the spine round the chest wall and down to the front; the lowest two end at the side."""
    ends = 1.0 if height > 360 else 0.62
    depth = 0.42 * width + 34
    points: list[Point] = [(18.0, 58.0, height + 4)]
    for t in np.linspace(0.1, ends, 8):
        angle = np.pi * t
        points.append(
            (
                float(18 + (width - 18) * np.sin(angle) ** 0.75),
                float(10 + depth * np.cos(angle)),
                height - 62 * t,
            )
        )
    return points


def skull(plan: BodyPlan) -> list[Group]:
    """The outer surface of the skull; it is hollowed by the caller."""
    return [_lump(plan, (0, -4, 738), (70, 88, 104))]
