"""The outline of the phantom's trunk and thighs and the muscles under it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.slab import Group
from models.synthetic_ct.phantoms.solids import Distances, Points, ellipsoid, sheet, tube

_HEIGHTS = np.array([-120, -60, 0, 50, 110, 180, 260, 340, 440, 520, 580, 620], float)
_HALF_WIDTH = np.array([160, 180, 184, 180, 168, 155, 150, 150, 152, 148, 116, 60], float)
_FRONT = np.array([55, 68, 80, 92, 102, 106, 106, 108, 110, 100, 62, 54], float)
_BACK = np.array([96, 106, 112, 112, 104, 92, 86, 88, 92, 100, 96, 78], float)
_NECK_Z_MM = 610.0
_CROTCH_Z_MM = -84.0
_USUAL_FAT_MM = (20.0, 17.0, 24.0)  # at the sides, in front, behind: what the outlines above include


@dataclass(frozen=True, slots=True)
class Torso:
    """Trunk and two thighs; a body lying on its back, flattened where it lies."""

    plan: BodyPlan

    @property
    def couch_top_y_mm(self) -> float:
        """Height of the couch's surface: what lies on it is flat there."""
        return float(107 * self.plan.scale[1] + 0.6 * (self.plan.fat_mm[2] - _USUAL_FAT_MM[2]))

    def skin(self, p: Points) -> Distances:
        """Distance to the skin, mm, negative inside."""
        return self._outline(p, (0.0, 0.0, 0.0), 0.0, self.couch_top_y_mm)

    def under_fat(self, p: Points) -> Distances:
        """Distance to the surface of the muscles under the fat."""
        side, _, back = self.plan.fat_mm
        return self._outline(p, self.plan.fat_mm, 0.5 * side, self.couch_top_y_mm - 0.6 * back)

    def _outline(
        self, p: Points, inset: tuple[float, float, float], thigh_inset: float, flat_y: float
    ) -> Distances:
        s = self.plan.scale
        z = p.z / np.float32(s[2])
        side, front_fat, back_fat = (
            np.float32(f - usual - i)
            for f, usual, i in zip(self.plan.fat_mm, _USUAL_FAT_MM, inset, strict=True)
        )
        half = _knots(z, _HALF_WIDTH) * np.float32(s[0]) + side
        front = _knots(z, _FRONT) * np.float32(s[1]) + front_fat
        back = _knots(z, _BACK) * np.float32(s[1]) + back_fat
        v = np.where(p.y < 0, -p.y / front, p.y / back)
        u = np.abs(p.x) / half
        level = np.sqrt(np.sqrt(u**2.0 * u**2 * 0.35 + v**4 * 0.35 + 0.65 * (u**2 + v**2) ** 2))
        trunk = (level - 1) * np.minimum(half, np.where(p.y < 0, front, back))
        bottom = np.float32(_CROTCH_Z_MM * s[2] + inset[2]) - p.z
        trunk = _soft(trunk, bottom, 22, sign=-1)
        trunk = np.maximum(trunk, p.z - np.float32(_NECK_Z_MM * s[2]))
        thighs = None
        for at in (-1, 1):
            bars = tube(
                [(at * 90, 12, -20), (at * 88, 12, -120), (at * 82, 8, -430)] * s,
                np.array([88, 86, 66]) * s[0],
            )
            for bar in bars:
                d = bar.distance(p) + np.float32(thigh_inset)
                d = np.maximum(d, p.z - np.float32(10.0))
                thighs = d if thighs is None else np.minimum(thighs, d)
        body = trunk if thighs is None else _soft(trunk, thighs, 20)
        return _soft(body, p.y - np.float32(flat_y), 14, sign=-1)


def _knots(z: Distances, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Distances:
    return np.interp(z, _HEIGHTS, values).astype(np.float32)


def _soft(a: Distances, b: Distances, width: float, sign: int = 1) -> Distances:
    """Rounded minimum (sign 1) or maximum (sign -1) of two distances."""
    a, b = sign * a, sign * b
    near = np.maximum(np.float32(width) - np.abs(a - b), 0)
    out: Distances = sign * (np.minimum(a, b) - near * near / np.float32(4 * width))
    return out


def cavities(plan: BodyPlan) -> list[Group]:
    """What is fat between the organs: abdomen, true pelvis, groins and the fossae beside the anal canal."""
    k = plan.size

    def hollow(centre: tuple[float, float, float], radii: tuple[float, float, float], side: int = 1) -> Group:
        return [ellipsoid(plan.place(centre, side), np.array(radii) * k)]

    groups = [
        hollow((0, -26, 190), (104, 66, 150)),
        hollow((0, -22, 300), (112, 72, 150)),
        hollow((0, -14, 92), (86, 62, 66)),
        hollow((0, 16, 22), (50, 60, 66)),
    ]
    for side in (-1, 1):
        groups.append(hollow((86, 24, 240), (28, 42, 110), side))
        groups.append(hollow((27, 50, -52), (19, 24, 32), side))
        groups.append(hollow((66, -58, -8), (22, 17, 48), side))
        groups.append(hollow((60, -62, -80), (16, 12, 60), side))
    return groups


def muscles(plan: BodyPlan) -> list[Group]:
    """Muscles that stand free in fat: psoas, iliacus, those of the back, the pelvic wall and floor."""
    k = plan.size
    groups: list[Group] = []
    for side in (-1, 1):

        def bar(points: list[tuple[float, float, float]], radii: list[float], side: int = side) -> Group:
            return tube(plan.place(points, side), np.array(radii) * k, 2)

        def layer(points: list[list[tuple[float, float, float]]], half: float, side: int = side) -> Group:
            return sheet(plan.place(points, side), half * k, 2)

        groups += [
            bar(
                [
                    (30, 20, 320),
                    (36, 12, 260),
                    (43, 6, 200),
                    (52, 0, 150),
                    (62, -10, 100),
                    (72, -34, 50),
                    (82, -40, 10),
                    (100, -6, -40),
                ],
                [9, 16, 20, 21, 19, 17, 16, 8],
            ),
            layer(
                [
                    [(96, -36, 46), (84, 0, 52)],
                    [(104, -44, 72), (86, 6, 76)],
                    [(110, -40, 98), (88, 14, 102)],
                ],
                9,
            ),
            bar(
                [
                    (14, 44, 620),
                    (20, 76, 540),
                    (22, 82, 480),
                    (24, 72, 400),
                    (26, 58, 300),
                    (28, 55, 200),
                    (28, 70, 140),
                    (22, 86, 100),
                ],
                [13, 15, 16, 19, 22, 25, 23, 13],
            ),
            bar([(54, 54, 300), (56, 50, 200), (60, 62, 150)], [15, 19, 16]),
            bar([(66, 34, 280), (74, 34, 210), (84, 40, 150)], [6, 9, 9]),
            layer(
                [
                    [(60, -20, 8), (58, 22, 16)],
                    [(46, -28, -22), (54, 26, -12)],
                    [(36, -22, -44), (50, 30, -36)],
                ],
                7,
            ),
            bar([(24, 66, 58), (48, 60, 48), (80, 40, 26), (118, 22, 0)], [6, 10, 10, 6]),
            layer(
                [
                    [(46, -6, -8), (44, 26, -4), (22, 52, 4)],
                    [(22, -14, -34), (20, 24, -34), (10, 44, -26)],
                    [(9, -12, -52), (8, 20, -54), (6, 36, -50)],
                ],
                2.4,
            ),
        ]
    groups.append(tube(plan.place([(0, 34, -40), (0, 44, -66)]), np.array([15, 13]) * k))
    return groups


def groin_muscles(plan: BodyPlan) -> list[Group]:
    """Sartorius, rectus femoris and tensor fasciae latae in the fat in front of the hip."""
    k = plan.size
    groups: list[Group] = []
    for side in (-1, 1):
        for points, radii in (
            (
                [(116, -52, 78), (112, -62, 20), (98, -68, -50), (72, -64, -150), (50, -50, -300)],
                [6, 9, 10, 10, 10],
            ),
            (
                [(100, -42, 40), (102, -52, 0), (104, -56, -60), (98, -52, -160), (88, -46, -300)],
                [6, 13, 17, 20, 22],
            ),
            ([(124, -44, 82), (128, -48, 30), (132, -44, -30), (130, -36, -90)], [7, 13, 13, 6]),
        ):
            groups.append(tube(plan.place(points, side), np.array(radii) * k, 2))
    return groups


def fat_planes(plan: BodyPlan) -> list[Group]:
    """Fat between the muscles of buttock, hip and thigh."""
    k = plan.size
    planes: list[tuple[list[list[tuple[float, float, float]]], float]] = [
        (
            [
                [(56, 84, 96), (100, 58, 92), (126, 26, 72)],
                [(54, 78, 52), (98, 56, 45), (140, 24, 25)],
                [(50, 72, 8), (92, 58, 0), (146, 22, -20)],
            ],
            1.9,
        ),
        ([[(122, -36, 72), (126, 4, 92)], [(130, -30, 18), (138, 2, 30)]], 1.3),
        ([[(72, -50, 30), (114, -44, 32)], [(74, -48, -30), (116, -42, -34)]], 1.6),
        ([[(126, 6, -70), (164, 18, -70)], [(118, -2, -250), (152, 6, -250)]], 1.5),
        ([[(98, -10, -75), (40, -34, -75)], [(90, -16, -250), (32, -34, -250)]], 1.8),
        ([[(104, 26, -80), (52, 52, -80)], [(96, 14, -250), (44, 36, -250)]], 1.8),
        ([[(62, -8, -70), (44, 22, -76)], [(58, -10, -220), (36, 14, -220)]], 1.4),
    ]
    groups: list[Group] = []
    for side in (-1, 1):
        groups += [sheet(plan.place(points, side), half * k, 2) for points, half in planes]
        groups.append([ellipsoid(plan.place((72, 52, -22), side), np.array([21, 8, 34]) * k)])
    return groups
