"""What treatment puts into the phantom: packing with an applicator, a hip prosthesis with its streaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.paint import Canvas
from models.synthetic_ct.phantoms.skeleton import HEAD_CENTRE
from models.synthetic_ct.phantoms.slab import Group
from models.synthetic_ct.phantoms.solids import ball, ellipsoid, tube
from models.synthetic_ct.tissues.tissue_maps import Tissue

Side = Literal["L", "R"]

_METAL_HU = 3000.0
_PLASTIC_HU = 180.0
_STREAK_REACH_MM = 110.0
_STREAK_HU = 170.0


@dataclass(frozen=True, slots=True)
class Devices:
    """What is in the patient.

    Attributes:
        packing: gauze packed against the cervix, tandem and ovoids: women only.
        prosthesis: side of a hip prosthesis, None without one.
    """

    packing: bool = False
    prosthesis: Side | None = None

    def paint_packing(self, canvas: Canvas, plan: BodyPlan) -> None:
        """Gauze in the vagina, wider than it, full of air and wet in places; before bladder and rectum."""
        if not (self.packing and plan.female):
            return
        k = plan.size
        gauze = canvas.union(
            [
                [ellipsoid(plan.place((0, 15, -24)), np.array([25.0, 13.0, 17.0]) * k)],
                [ellipsoid(plan.place((0, 11, -42)), np.array([17.0, 11.0, 18.0]) * k)],
            ],
            6,
        )
        if gauze is None:
            return
        p = canvas.points[gauze.window]
        air = np.clip(canvas.texture.at(p, 9.0, 171, 6) - np.float32(0.6), 0, 1) * np.float32(500)
        weave = canvas.texture.at(p, 3.0, 172, 6) * np.float32(55)
        canvas.fill(gauze, (weave - air - np.float32(60)).astype(np.float32, copy=False), Tissue.SOFT)

    def paint_applicator(self, canvas: Canvas, plan: BodyPlan) -> None:
        """A metal tandem through the cervix into the uterus and two plastic ovoids beside it."""
        if not (self.packing and plan.female):
            return
        k = plan.size
        for side in (-1, 1):
            ovoid = [ball(plan.place((16, 15, -19), side), 9.5 * k)]
            canvas.cover(canvas.union([ovoid]), _PLASTIC_HU)
            stem = tube(plan.place([(16, 15, -19), (9, 8, -52), (6, 2, -90)], side), 2.8, 3)
            canvas.cover(canvas.union([stem]), _METAL_HU)
        tandem = tube(plan.place([(0, 2, -90), (0, 12, -50), (0, 20, -10), (-3, 14, 24)]), 2.5, 4)
        canvas.cover(canvas.union([tandem]), _METAL_HU)

    def paint_prosthesis(self, canvas: Canvas, plan: BodyPlan, seed: int) -> None:
        """A cup with its lining, a metal head and a stem; streaks on every slice that shows metal."""
        if self.prosthesis is None:
            return
        k, side = plan.size, 1 if self.prosthesis == "L" else -1
        head = plan.place(HEAD_CENTRE, side)
        canvas.cover(canvas.union([[ball(head, 26.0 * k)]]), _METAL_HU)
        canvas.cover(canvas.union([[ball(head, 22.0 * k)]]), 80.0)
        stem = [
            HEAD_CENTRE,
            (101.0, 3.0, -9.0),
            (115.0, 9.0, -40.0),
            (112.0, 4.0, -110.0),
            (109.0, 0.0, -150.0),
        ]
        radii = np.array([6.0, 7.0, 9.5, 7.0, 4.0]) * k
        bodies: list[Group] = [[ball(head, 15.0 * k)], tube(plan.place(stem, side), radii, 3)]
        canvas.cover(canvas.union(bodies), _METAL_HU)
        foot = float(plan.place(stem[-1], side)[2])
        self._streaks(canvas, head, (foot, float(head[2]) + 26 * k), seed)

    @staticmethod
    def _streaks(canvas: Canvas, head: np.ndarray, heights_mm: tuple[float, float], seed: int) -> None:
        """Dark and bright rays from the metal, fading with the distance; a function of the position alone."""
        rng = np.random.default_rng((seed, 4))
        p = canvas.points
        low, high = heights_mm
        on = np.clip(np.minimum(p.z - np.float32(low), np.float32(high) - p.z) / np.float32(3) + 1, 0, 1)
        if not on.any():
            return
        x, y = p.x - np.float32(head[0]), p.y - np.float32(head[1])
        angle = np.arctan2(y, x)
        rays = np.zeros_like(angle)
        for _ in range(9):
            strength, number, phase = rng.uniform(0.3, 1), int(rng.integers(2, 31)), rng.uniform(0, 2 * np.pi)
            rays += np.float32(strength / 2) * np.cos(np.float32(number) * angle + np.float32(phase))
        canvas.hu[...] += (
            rays * np.exp(-np.hypot(x, y) / np.float32(_STREAK_REACH_MM)) * on * np.float32(_STREAK_HU)
        )


NO_DEVICES = Devices()
