"""How one phantom differs from the next: sex, size, tilt and a smooth deformation, all drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.volume import FloatArray


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """Where a landmark of the standard anatomy lies in this body.

    Landmarks are in mm from the midpoint of the femoral heads, x to the left, y to posterior, z to head.

    Attributes:
        female: wider pelvis, uterus instead of prostate.
        scale: ``(3,)`` size relative to the standard anatomy.
        tilt_rad: pelvic tilt about the left-right axis.
        waves: ``(m, 3)`` wave vectors of the deformation, 1/mm.
        phases: ``(m, 3)``.
        amplitudes_mm: ``(m, 3)``.
        fat_mm: thickness of the fat under the skin: at the sides, in front, behind.
        bladder_fill: 0 empty to 1 full.
    """

    female: bool
    scale: FloatArray
    tilt_rad: float
    waves: FloatArray
    phases: FloatArray
    amplitudes_mm: FloatArray
    fat_mm: tuple[float, float, float]
    bladder_fill: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> BodyPlan:
        """A random body."""
        size = rng.uniform(0.93, 1.08)
        fat = rng.uniform(0.6, 1.5)
        return cls(
            female=bool(rng.random() < 0.5),
            scale=size * rng.uniform(0.96, 1.04, 3),
            tilt_rad=float(rng.uniform(-0.10, 0.10)),
            waves=rng.normal(0, 1 / 110.0, (5, 3)),
            phases=rng.uniform(0, 2 * np.pi, (5, 3)),
            amplitudes_mm=rng.normal(0, 2.2, (5, 3)),
            fat_mm=(20 * fat, 17 * fat * rng.uniform(0.7, 1.5), 24 * fat),
            bladder_fill=float(rng.uniform(0.15, 1.0)),
        )

    @property
    def size(self) -> float:
        """Mean scale, for thicknesses and radii."""
        return float(np.cbrt(np.prod(self.scale)))

    def place(self, landmarks: ArrayLike, side: int = 1) -> FloatArray:
        """Landmarks ``(..., 3)`` of the standard left side to this body's left (1) or right (-1), mm."""
        p = np.asarray(landmarks, float) * self.scale
        if self.female:
            p = p * (1.04, 1.0, 0.97)
        p = p * (side, 1, 1)
        c, s = np.cos(self.tilt_rad), np.sin(self.tilt_rad)
        above = np.maximum(p[..., 2] - 100, 0)  # the spine takes the tilt of the pelvis back
        lever = p[..., 2] - above + 60 * (1 - np.exp(-above / 60))
        p = np.stack([p[..., 0], c * p[..., 1] + s * lever, -s * p[..., 1] + c * p[..., 2]], axis=-1)
        bend = np.sin(np.einsum("...i,mi->...m", p, self.waves)[..., None] + self.phases) * self.amplitudes_mm
        return p + bend.sum(-2)  # type: ignore[no-any-return]
