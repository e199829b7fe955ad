"""The soft organs of the phantom as solids: bladder, bowel, genital organs, vessels, upper abdomen."""

from __future__ import annotations

import numpy as np

from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.slab import Group
from models.synthetic_ct.phantoms.solids import Ellipsoid, ellipsoid, refined, tube
from models.volume import FloatArray

AORTIC_BIFURCATION = (2, -28, 178)
CAVAL_CONFLUENCE = (-10, -12, 158)


def bladder(plan: BodyPlan) -> Ellipsoid:
    """An ellipsoid behind and above the symphysis; fuller means higher and further forward."""
    fill = plan.bladder_fill
    radii = np.array([33 + 17 * fill, 27 + 11 * fill, 17 + 21 * fill]) * plan.size
    centre = plan.place((3.0, -16 - 5 * fill, -8 + 17 * fill))
    return ellipsoid(centre, radii, 0.25)


def rectum(plan: BodyPlan, wide: float) -> Group:
    """From the anorectal junction along the sacrum to the third sacral vertebra."""
    points = [(0, 40, -52), (0, 34, -38), (1, 40, -18), (4, 50, 2), (-3, 58, 20), (-4, 60, 36), (2, 54, 50)]
    return tube(
        plan.place(points), np.array([10, 11, 14 * wide, 16 * wide, 15 * wide, 13, 12]) * plan.size, 3
    )


def colon(plan: BodyPlan, rng: np.random.Generator) -> Group:
    """Sigmoid, descending, transverse and ascending colon and caecum, with haustra; joins the rectum."""
    loop = rng.uniform(-12, 12, 6)
    sigmoid = [
        (2, 54, 50),
        (10, 40, 62),
        (28 + loop[0], 16, 66 + loop[1]),
        (12, -8 + loop[2], 74),
        (-22 + loop[3], -4, 84 + loop[4]),
        (4, -16, 100),
        (44, -18 + loop[5], 92),
        (78, -22, 84),
        (96, -14, 104),
    ]
    left = [(104, 0, 140), (108, 14, 185), (108, 22, 230), (106, 26, 275), (104, 20, 320)]
    across = [(78, -20, 318), (40, -58, 288), (0, -70, 272), (-44, -60, 284), (-82, -28, 296)]
    right = [
        (-102, 10, 300),
        (-106, 12, 262),
        (-106, 8, 220),
        (-104, 2, 175),
        (-98, -8, 132),
        (-90, -16, 98),
        (-84, -20, 82),
    ]
    sizes = [13, 14, *[15] * 8, 16, 17, 18, 18, 18, 19, 20, 20, 20, 21, 22, 23, 24, 25, 26, 22]
    p = refined(plan.place([*sigmoid, *left, *across, *right]), 4)
    r = refined(np.array(sizes, float) * plan.size * rng.uniform(0.85, 1.1), 4)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    return tube(p, r * (1 + 0.13 * np.sin(along * 2 * np.pi / 31.0)))


def small_bowel(plan: BodyPlan, rng: np.random.Generator) -> Group:
    """Loops that fill the middle of the abdomen: a smooth path over shuffled places about 28 mm apart."""
    pitch = 29.0
    axes = [np.arange(-3, 4) * pitch, np.arange(-1, 2) * pitch, np.arange(-3, 5) * pitch * 0.95]
    places = []
    for iz, z in enumerate(axes[2]):
        for iy, y in enumerate(axes[1][:: 1 if iz % 2 else -1]):
            row = axes[0][:: 1 if (iz + iy) % 2 else -1]
            places += [
                (x, y - 30, z + 142) for x in row if (x / 88) ** 2 + (y / 52) ** 2 + (z / 116) ** 2 < 1
            ]
    points = np.array(places) + rng.normal(0, 5.5, (len(places), 3))
    path = refined(plan.place(points), 4)
    radii = refined(rng.uniform(11.0, 14.5, len(points)) * plan.size, 4)
    return tube(path, radii)


def genital_organs(plan: BodyPlan) -> list[Group]:
    """Uterus with cervix and vagina, or prostate with seminal vesicles."""
    k = plan.size
    if not plan.female:
        prostate = ellipsoid(plan.place((0, -8, -32)), np.array([22, 16, 17]) * k)
        vesicles = [tube(plan.place([(3, 14, -8), (26, 20, 4)], s), np.array([5, 6]) * k) for s in (-1, 1)]
        return [[prostate], *vesicles]
    fundus = tube(plan.place([(-2, 22, -4), (-3, 14, 24), (-5, -4, 48)]), np.array([14, 20, 24]) * k, 3)
    vagina = tube(plan.place([(0, 20, -6), (0, 10, -50)]), np.array([12, 9]) * k)
    ovaries: list[Group] = [
        [ellipsoid(plan.place((40, 14, 44), s), np.array([12, 9, 14]) * k)] for s in (-1, 1)
    ]
    return [fundus, vagina, *ovaries]


def arteries(plan: BodyPlan) -> list[Group]:
    """Aorta and the common, external and internal iliac arteries to the groin."""
    return [
        tube(
            plan.place([(9, -4, 420), (7, -20, 330), (5, -32, 260), (4, -32, 200), AORTIC_BIFURCATION]),
            8.5 * plan.size,
            2,
        ),
        *_branches(plan, offset=(0.0, 0.0), top=AORTIC_BIFURCATION, radius_mm=5.0),
    ]


def veins(plan: BodyPlan) -> list[Group]:
    """Inferior vena cava and the iliac veins beside the arteries."""
    return [
        tube(
            plan.place([(-20, 0, 420), (-19, -14, 330), (-18, -25, 260), (-15, -24, 200), CAVAL_CONFLUENCE]),
            10.0 * plan.size,
            2,
        ),
        *_branches(plan, offset=(-3.0, 10.0), top=CAVAL_CONFLUENCE, radius_mm=6.0),
    ]


def _branches(
    plan: BodyPlan, offset: tuple[float, float], top: tuple[int, int, int], radius_mm: float
) -> list[Group]:
    dx, dy = offset
    groups: list[Group] = []
    for side in (-1, 1):
        start = (top[0] * side, top[1], top[2])
        fork = (36 + dx, 6 + dy, 118)
        outer = [
            start,
            fork,
            (50 + dx, -8 + dy, 76),
            (64 + dx, -32 + dy, 40),
            (70 + dx * 2, -56 + dy * 0.4, 6),
            (66 + dx * 3, -58 + dy * 0.5, -60),
            (52, -34 + dy, -160),
            (44, -10 + dy, -300),
        ]
        inner = [fork, (42 + dx, 26 + dy, 84), (44 + dx, 38 + dy, 56), (44, 36 + dy, 24)]
        groups.append(
            tube(
                plan.place(outer, side),
                np.array([1.3, 1.1, 1, 1, 1, 0.9, 0.8, 0.7]) * radius_mm * plan.size,
                3,
            )
        )
        groups.append(
            tube(plan.place(inner, side), np.array([0.9, 0.8, 0.7, 0.5]) * radius_mm * plan.size, 2)
        )
    return groups


def upper_abdomen(plan: BodyPlan) -> dict[str, Group]:
    """Liver, spleen and kidneys, which an abdomen without pelvis shows."""
    k = plan.size

    def lump(
        centre: tuple[float, float, float], radii: tuple[float, float, float], tilt: float = 0.0
    ) -> Group:
        return [ellipsoid(plan.place(centre), np.array(radii) * k, tilt)]

    return {
        "liver": [*lump((-66, -12, 372), (70, 76, 80)), *lump((6, -42, 392), (62, 40, 46))],
        "spleen": lump((96, 30, 372), (30, 46, 48)),
        "kidney_l": lump((62, 42, 304), (27, 25, 54), 0.2),
        "kidney_r": lump((-62, 42, 288), (27, 25, 54), 0.2),
    }


def canal(plan: BodyPlan, frames: list[tuple[FloatArray, FloatArray]]) -> Group:
    """The spinal canal behind the vertebral bodies."""
    k = plan.size
    points = [centre + k * 25.5 * axes[1] for centre, axes in frames]
    start = plan.place((0, 50, 124))
    return tube(np.array([start, *points]), 8.6 * k, 2)
