"""A procedural patient with a pelvis, its CT and the truth about it.

Everything is defined in patient millimetres, noise and texture included, so that a phantom sampled in any
orientation shows the same patient. Nothing of a real person is in it. A seed gives one patient for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.training.body_plan import BodyPlan
from models.training.phantom_anatomy import Anatomy
from models.training.phantom_paint import Canvas, Texture
from models.training.slab import Slab
from models.training.tissue_maps import CLASSES, DELIVERED
from models.volume import CtVolume, FloatArray, Grid

NEVER_TRAINED_FROM_SEED = 900_000
"""Seeds from here on are for demonstrations and tests; training refuses them."""

_SLAB_VOXELS = 3_000_000


class Part(StrEnum):
    """What of the patient a scan shows."""

    PELVIS = "pelvis"
    ABDOMEN = "abdomen"  # above the third lumbar vertebra: no pelvis in it
    THORAX = "thorax"
    HALF = "half"  # the patient's left half only


_EXTENT_MM = {  # lower and upper corner, from the midpoint of the femoral heads
    Part.PELVIS: ((-240.0, -160.0, -130.0), (240.0, 160.0, 235.0)),
    Part.ABDOMEN: ((-240.0, -160.0, 250.0), (240.0, 160.0, 410.0)),
    Part.THORAX: ((-240.0, -160.0, 420.0), (240.0, 160.0, 640.0)),
    Part.HALF: ((0.0, -160.0, -130.0), (240.0, 160.0, 235.0)),
}


@dataclass(frozen=True, slots=True, repr=False)
class PhantomSample:
    """A phantom on a grid.

    Attributes:
        hu: ``(slices, rows, columns)`` int16, Hounsfield units.
        tissue: the same shape, uint8 codes of `Tissue`.
        grid: where the voxels are.
    """

    hu: NDArray[np.int16]
    tissue: NDArray[np.uint8]
    grid: Grid

    @property
    def volume(self) -> CtVolume:
        """The CT alone."""
        return CtVolume(self.hu, self.grid)

    def mask(self, structure: str) -> NDArray[np.bool_]:
        """True where ``structure`` (TG-263 name) is. Raises KeyError if the phantom has no truth for it."""
        codes = {name: tissues for name, tissues in CLASSES.values()}[structure]
        return np.isin(self.tissue, codes)

    def truth(self) -> dict[str, NDArray[np.bool_]]:
        """The delivered structures that this sample shows, by TG-263 name."""
        masks = {name: self.mask(name) for name in DELIVERED}
        return {name: mask for name, mask in masks.items() if mask.any()}


@dataclass(frozen=True, slots=True, repr=False)
class PelvicPhantom:
    """One patient.

    Attributes:
        seed: which.
        plan: size, shape and sex.
        origin_lps_mm: ``(3,)`` midpoint of the femoral heads in the patient frame.
        couch: whether the patient lies on a couch.
        noise_hu: standard deviation of the noise.
        contrast: whether vessels and walls are enhanced by contrast medium.
    """

    seed: int
    plan: BodyPlan
    origin_lps_mm: FloatArray
    couch: bool
    noise_hu: float
    contrast: bool

    def grid(
        self,
        part: Part = Part.PELVIS,
        *,
        pixel_mm: float = 1.953125,
        slice_mm: float = 3.0,
    ) -> Grid:
        """Axial slices of a patient on the back, head first, that show ``part``."""
        lo, hi = (np.array(corner) + self.origin_lps_mm for corner in _EXTENT_MM[part])
        columns, rows = (round((hi[i] - lo[i]) / pixel_mm) for i in (0, 1))
        slices = round((hi[2] - lo[2]) / slice_mm)
        origins = (
            lo + np.outer(np.arange(slices) * slice_mm, (0.0, 0.0, 1.0)) + (pixel_mm / 2, pixel_mm / 2, 0)
        )
        return Grid(origins, np.array([pixel_mm, 0, 0]), np.array([0, pixel_mm, 0]), rows, columns)

    def sample(self, grid: Grid, *, noise: bool = True) -> PhantomSample:
        """The phantom's CT numbers and tissues at the voxels of ``grid``, in any orientation."""
        hu = np.empty(grid.shape_zyx, np.int16)
        tissue = np.empty(grid.shape_zyx, np.uint8)
        step = max(1, _SLAB_VOXELS // (grid.rows * grid.columns))
        anatomy = Anatomy.of(self.seed, self.plan, couch=self.couch, contrast=self.contrast)
        for first in range(0, len(hu), step):
            last = min(first + step, len(hu))
            slab = Slab.of(grid, first, last, self.origin_lps_mm)
            canvas = Canvas.blank(slab, Texture(self.seed))
            anatomy.paint(canvas)
            values = canvas.hu + (canvas.noise() * np.float32(self.noise_hu) if noise else 0)
            hu[first:last] = np.clip(np.rint(values), -1024, 3071)
            tissue[first:last] = canvas.tissue
        return PhantomSample(hu, tissue, grid)


def pelvic_phantom(seed: int, *, couch: bool = True) -> PelvicPhantom:
    """The patient of a seed; two seeds differ in sex, size, shape, organ filling, contrast and noise."""
    rng = np.random.default_rng((seed, 1))
    plan = BodyPlan.drawn(rng)
    return PelvicPhantom(
        seed=seed,
        plan=plan,
        origin_lps_mm=np.round(rng.uniform((-12, -12, -420), (12, 12, -380)), 1),
        couch=couch,
        noise_hu=float(rng.uniform(8, 16)),
        contrast=bool(rng.random() < 0.4),
    )
