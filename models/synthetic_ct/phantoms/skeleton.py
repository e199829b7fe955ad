"""The bones of the phantom pelvis as solids: hip bones, sacrum, vertebrae, femora.

The landmarks are those of an adult lying on the back, in mm from the midpoint of the femoral heads (x left,
y posterior, z to head), for the left side; the right side is mirrored and then deformed on its own, so that
the two differ.
"""

from __future__ import annotations

import numpy as np

from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.slab import Group
from models.synthetic_ct.phantoms.solids import (
    Capsule,
    Distances,
    Ellipsoid,
    Points,
    ball,
    ellipsoid,
    sheet,
    tube,
)
from models.volume import FloatArray

HEAD_CENTRE = (88.0, 0.0, 0.0)
HEAD_RADIUS_MM = 23.5
FEMUR_CUT_Z_MM = -56.0
"""Femur_Head ends here: 80 mm below its top, at the lesser trochanter."""

_WING = [  # rows: above the acetabulum, mid wing, upper wing, crest; columns: anterior to posterior
    [(96, -30, 28), (93, -10, 33), (83, 17, 34), (70, 40, 42), (60, 58, 52)],
    [(106, -42, 55), (100, -16, 60), (87, 17, 62), (69, 48, 66), (53, 72, 68)],
    [(117, -52, 82), (117, -22, 94), (104, 14, 96), (78, 51, 92), (49, 84, 86)],
    [(121, -50, 90), (132, -16, 122), (125, 22, 141), (92, 60, 132), (50, 90, 102)],
]
_WING_HALF = [[9, 11, 12, 12, 9], [8, 6.5, 5.5, 7, 10], [6, 4.2, 3.2, 5.5, 9.5], [6, 6.5, 5.5, 6, 7]]

_SACRUM = [  # rows S1 to coccyx; columns right to left
    [(-52, 60, 100), (-32, 44, 110), (0, 36, 116), (32, 44, 110), (52, 60, 100)],
    [(-52, 68, 80), (-30, 58, 84), (0, 55, 86), (30, 58, 84), (52, 68, 80)],
    [(-43, 75, 56), (-26, 72, 58), (0, 71, 58), (26, 72, 58), (43, 75, 56)],
    [(-30, 79, 34), (-18, 80, 34), (0, 80, 34), (18, 80, 34), (30, 79, 34)],
    [(-17, 78, 14), (-10, 78, 13), (0, 78, 12), (10, 78, 13), (17, 78, 14)],
    [(-6, 66, -6), (-3, 66, -7), (0, 66, -8), (3, 66, -7), (6, 66, -6)],
]
_SACRUM_HALF = [
    [8, 13, 16, 13, 8],
    [10, 12, 13, 12, 10],
    [8, 9, 10, 9, 8],
    [6, 7.5, 8.5, 7.5, 6],
    [5, 6, 6.5, 6, 5],
    [3] * 5,
]

_SPINE = [  # centres of L5, L4 ... C6
    (0, 13, 141),
    (0, -1, 177),
    (0, -7, 214),
    (0, -5, 250),
    (0, 3, 284),
    (0, 14, 316),
    (0, 25, 346),
    (0, 36, 374),
    (0, 45, 400),
    (0, 52, 425),
    (0, 57, 449),
    (0, 60, 473),
    (0, 60, 496),
    (0, 57, 518),
    (0, 51, 539),
    (0, 43, 559),
    (0, 33, 578),
    (0, 24, 596),
    (0, 17, 613),
]


def hip_bone(plan: BodyPlan, side: int) -> list[Group]:
    """Ilium, acetabulum, ischium and pubis of one side; the socket is hollowed by the caller."""
    k = plan.size

    def bar(points: list[tuple[float, float, float]], radii: list[float], refine: int = 2) -> Group:
        return tube(plan.place(points, side), np.array(radii) * k, refine)

    socket = plan.place(HEAD_CENTRE, side) + np.array([-6.0 * side, 2.0, 3.0]) * k
    return [
        sheet(plan.place(_WING, side), np.array(_WING_HALF) * k, 3),
        [Ellipsoid(socket, np.array([28.0, 31.0, 31.0]) * k, np.eye(3))],
        bar([(74, -24, 6), (52, -38, -6), (30, -46, -16), (13, -43, -26)], [13, 9, 8, 10]),
        bar([(11, -44, -22), (10, -40, -34), (10, -36, -46)], [9.5, 9, 8]),
        bar([(12, -36, -46), (28, -14, -58), (44, 14, -64), (54, 32, -60)], [7, 5.5, 6, 9]),
        bar([(82, 16, -8), (72, 32, -22), (62, 40, -42), (58, 38, -58)], [17, 14, 13.5, 12]),
        bar([(74, 30, 8), (64, 44, 4), (56, 48, 0)], [11, 7, 3]),
        bar([(76, 22, 26), (72, 34, 34)], [13, 11]),
    ]


def sacrum(plan: BodyPlan) -> list[Group]:
    """The curved sacrum with its alae, median crest and coccyx."""
    k = plan.size
    crest = tube(
        plan.place([(0, 70, 104), (0, 82, 80), (0, 90, 58), (0, 92, 36)]), np.array([6, 7, 6, 4]) * k, 2
    )
    return [sheet(plan.place(_SACRUM), np.array(_SACRUM_HALF) * k, 3), crest]


def sacral_openings(plan: BodyPlan) -> list[Group]:
    """The sacral canal and the four pairs of foramina, to be taken out of the sacrum."""
    k = plan.size
    canal = tube(
        plan.place([(0, 50, 124), (0, 62, 100), (0, 73, 76), (0, 82, 52), (0, 87, 36)]),
        np.array([8, 7, 5.5, 4, 3]) * k,
        2,
    )
    holes: list[Group] = [canal]
    for z, x, y in ((97, 21, 52), (71, 20, 65), (46, 18, 76), (24, 14, 80)):
        for side in (-1, 1):
            ends = plan.place([(x, y - 16, z + 1), (x - 2, y + 17, z - 2)], side)
            holes.append(tube(ends, np.array([4.2, 3.4]) * k))
    return holes


def vertebra_frames(plan: BodyPlan) -> list[tuple[FloatArray, FloatArray]]:
    """Centre and axes (rows: left, posterior, up) of each vertebral body, from L5 upwards."""
    centres = plan.place(_SPINE)
    frames = []
    for i in range(1, len(centres) - 1):
        frames.append((centres[i], _axes(centres[i + 1] - centres[i - 1])))
    base = plan.place((0, 36, 116))
    return [(centres[0], _axes(centres[1] - base)), *frames]


def _axes(up: FloatArray) -> FloatArray:
    up = up / np.linalg.norm(up)
    left = np.cross((0.0, 1.0, 0.0), up)
    left /= np.linalg.norm(left)
    return np.stack([left, np.cross(up, left), up])


def spine(plan: BodyPlan, frames: list[tuple[FloatArray, FloatArray]]) -> dict[str, list[Group]]:
    """``arches``, ``bodies`` and ``discs`` of all vertebrae; each disc lies under its vertebra."""
    arches: list[Group] = []
    bodies: list[Group] = []
    discs: list[Group] = []
    below = plan.place((0, 36, 116))
    for level, (centre, axes) in enumerate(frames):
        k = plan.size * float(np.clip(1.12 - 0.03 * level, 0.6, 1.0))
        next_up = frames[level + 1][0] if level + 1 < len(frames) else 2 * centre - below
        height = float(np.linalg.norm(next_up - centre))
        bodies.append([VertebralBody(centre, axes, 0.385 * height, k)])
        between = centre - 0.5 * height * axes[2]
        discs.append([VertebralBody(between, axes, 0.18 * height, 0.98 * k, 0)])
        arches += vertebra(centre, axes, k, level)
        below = centre
    return {"arches": arches, "bodies": bodies, "discs": discs}


def vertebra(centre: FloatArray, axes: FloatArray, k: float, level: int) -> list[Group]:
    """One vertebra: pedicles, laminae, transverse and spinous processes; the body is `VertebralBody`."""

    def at(x: float, y: float, z: float) -> FloatArray:
        return centre + k * (np.array([x, y, z]) @ axes)

    reach = 44 if level < 5 else 34
    arch: list[Capsule] = []
    for s in (-1, 1):
        arch += tube([at(15 * s, 12, 5), at(16 * s, 28, 4)], np.array([5.5, 5.0]) * k)
        arch += tube([at(16 * s, 28, 2), at(8 * s, 40, -2), at(0, 45, -4)], np.array([5.5, 4.0, 4.0]) * k)
        arch += tube([at(17 * s, 26, 4), at(reach * s, 32, 6)], np.array([4.8, 3.6]) * k)
        arch += tube([at(18 * s, 33, 14), at(19 * s, 36, -14)], np.array([5.0, 5.5]) * k)
    spine = tube([at(0, 46, -3), at(0, 58, -6), at(0, 70, -10)], np.array([4.0, 4.2, 5.0]) * k)
    return [arch, spine]


def femur(plan: BodyPlan, side: int) -> list[Group]:
    """Head, neck, both trochanters and the shaft to the knee's side of the field of view."""
    k = plan.size

    def bar(points: list[tuple[float, float, float]], radii: list[float], refine: int = 2) -> Group:
        return tube(plan.place(points, side), np.array(radii) * k, refine)

    return [
        [ball(plan.place(HEAD_CENTRE, side), HEAD_RADIUS_MM * k)],
        bar([(90, 0, -1), (104, 3, -11), (118, 8, -26)], [17, 15, 17]),
        bar([(127, 20, 0), (130, 20, -14), (126, 16, -36)], [9, 13, 14]),
        bar(
            [(117, 10, -34), (115, 10, -60), (112, 4, -110), (106, -4, -190), (98, -4, -290), (92, 0, -420)],
            [17, 16, 14.5, 14, 14, 15],
        ),
        [ellipsoid(plan.place((103, 20, -56), side), np.array([9.0, 9.0, 13.0]) * k)],
    ]


def marrow_cavity(plan: BodyPlan, side: int) -> list[Group]:
    """The hollow of the femoral shaft, filled with yellow marrow."""
    points = plan.place(
        [(115, 10, -66), (112, 4, -110), (106, -4, -190), (98, -4, -290), (92, 0, -420)], side
    )
    return [tube(points, np.array([6, 7, 7.5, 8, 9]) * plan.size, 2)]


class VertebralBody:
    """A vertebral body or, with a smaller ``half_height_mm``, the disc above it: a drum with a waist."""

    def __init__(
        self, centre: FloatArray, axes: FloatArray, half_height_mm: float, k: float, waist: float = 0.08
    ) -> None:
        self.centre, self.axes = centre, axes
        self.half_height_mm, self.k, self.waist = half_height_mm, k, waist

    @property
    def lo(self) -> FloatArray:
        """Lower corner of the bounding box."""
        return self.centre - self._reach()

    @property
    def hi(self) -> FloatArray:
        """Upper corner of the bounding box."""
        return self.centre + self._reach()

    def _reach(self) -> FloatArray:
        half = np.array([26 * self.k, 19 * self.k, self.half_height_mm])
        return np.abs(self.axes * half[:, None]).sum(0)  # type: ignore[no-any-return]

    def distance(self, p: Points) -> Distances:
        """The rim's distance and the end plate's, joined with a rounded edge."""
        q = (
            p.x - np.float32(self.centre[0]),
            p.y - np.float32(self.centre[1]),
            p.z - np.float32(self.centre[2]),
        )
        x, y, z = (sum(c * np.float32(a) for c, a in zip(q, axis, strict=True)) for axis in self.axes)
        a, b = np.float32(25 * self.k), np.float32(17.5 * self.k)
        level = np.sqrt((x / a) ** 2 + (y / b) ** 2)
        slope = np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2)
        height = np.abs(z) / np.float32(self.half_height_mm)
        narrower = np.float32(self.waist) * (1 - np.minimum(height, 1) ** 2)
        rim = (level - (1 - narrower)) * level / np.maximum(slope, np.float32(1e-6))
        plate = np.abs(z) - np.float32(self.half_height_mm)
        edge = np.float32(3.0)
        corner = np.hypot(np.maximum(rim + edge, 0), np.maximum(plate + edge, 0)) - edge
        out: Distances = np.where((rim > -edge) & (plate > -edge), corner, np.maximum(rim, plate))
        return out
