"""A procedural patient with a pelvis, its CT and the truth about it.

Everything is defined in patient millimetres, noise and texture included, so that a phantom sampled in any
orientation shows the same patient. Nothing of a real person is in it. A seed gives one patient for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.synthetic_ct.phantoms.anatomy import Anatomy
from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.devices import NO_DEVICES, Devices
from models.synthetic_ct.phantoms.paint import Canvas, Texture
from models.synthetic_ct.phantoms.regions import CTV_STRUCTURES, RegionPart, regions
from models.synthetic_ct.phantoms.slab import Slab
from models.synthetic_ct.tissues.tissue_maps import CLASSES, COMPOSED, DELIVERED
from models.volume import CtVolume, FloatArray, Grid

NEVER_TRAINED_FROM_SEED = 900_000
"""Seeds from here on are for demonstrations and tests; training refuses them."""

_SLAB_VOXELS = 3_000_000
_TISSUES_OF = dict(CLASSES.values()) | COMPOSED


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
class PelvicPhantom:
    """One patient.

    Attributes:
        seed: which.
        plan: size, shape and sex.
        origin_lps_mm: ``(3,)`` midpoint of the femoral heads in the patient frame.
        couch: whether the patient lies on a couch.
        noise_hu: standard deviation of the noise.
        contrast: whether vessels and walls are enhanced by contrast medium.
        devices: packing, applicator, prosthesis.
    """

    seed: int
    plan: BodyPlan
    origin_lps_mm: FloatArray
    couch: bool
    noise_hu: float
    contrast: bool
    devices: Devices = NO_DEVICES

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

    @property
    def structures(self) -> tuple[str, ...]:
        """The structures whose truth is known, by TG-263 name; some may not be shown, or not exist."""
        return (*_TISSUES_OF, *self.regions())

    def regions(self) -> dict[str, list[RegionPart]]:
        """The structures that are no tissue, by TG-263 name."""
        return regions(self.plan, self.anatomy().shapes)

    def anatomy(self) -> Anatomy:
        """The patient's bodies."""
        return Anatomy.of(
            self.seed, self.plan, couch=self.couch, contrast=self.contrast, devices=self.devices
        )

    def sample(self, grid: Grid, *, noise: bool = True) -> PhantomSample:
        """The phantom's CT numbers and tissues at the voxels of ``grid``, in any orientation."""
        hu = np.empty(grid.shape_zyx, np.int16)
        tissue = np.empty(grid.shape_zyx, np.uint8)
        anatomy = self.anatomy()
        for slices, slab in _slabs(grid, self.origin_lps_mm):
            canvas = Canvas.blank(slab, Texture(self.seed))
            anatomy.paint(canvas)
            values = canvas.hu + (canvas.noise() * np.float32(self.noise_hu) if noise else 0)
            hu[slices] = np.clip(np.rint(values), -1024, 3071)
            tissue[slices] = canvas.tissue
        return PhantomSample(hu, tissue, grid, self)


@dataclass(frozen=True, slots=True, repr=False)
class PhantomSample:
    """A phantom on a grid.

    Attributes:
        hu: ``(slices, rows, columns)`` int16, Hounsfield units.
        tissue: the same shape, uint8 codes of `Tissue`.
        grid: where the voxels are.
        patient: whose CT it is.
    """

    hu: NDArray[np.int16]
    tissue: NDArray[np.uint8]
    grid: Grid
    patient: PelvicPhantom

    @property
    def volume(self) -> CtVolume:
        """The CT alone."""
        return CtVolume(self.hu, self.grid)

    def mask(self, structure: str) -> NDArray[np.bool_]:
        """True where ``structure`` (TG-263 name) is. Raises KeyError if the phantom has no truth for it."""
        codes = _TISSUES_OF.get(structure)
        if codes is not None:
            return np.isin(self.tissue, codes)
        return self._region(self.patient.regions()[structure])

    def truth(self) -> dict[str, NDArray[np.bool_]]:
        """The delivered structures and target volumes that this sample shows, by TG-263 name."""
        targets = CTV_STRUCTURES if self.patient.plan.female else ()
        masks = {name: self.mask(name) for name in (*DELIVERED, *targets)}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def known(self) -> dict[str, NDArray[np.bool_]]:
        """Every structure whose truth is known here, also where it is known to be absent."""
        of_tissues = {name: np.isin(self.tissue, codes) for name, codes in _TISSUES_OF.items()}
        return of_tissues | {name: self._region(parts) for name, parts in self.patient.regions().items()}

    def _region(self, parts: Sequence[RegionPart]) -> NDArray[np.bool_]:
        mask = np.zeros(self.grid.shape_zyx, np.bool_)
        for slices, slab in _slabs(self.grid, self.patient.origin_lps_mm):
            for part in parts:
                part.mark(slab, self.tissue[slices], mask[slices])
        return mask


def _slabs(grid: Grid, origin_lps_mm: FloatArray) -> Iterator[tuple[slice, Slab]]:
    """Slices of the grid, few enough at a time to be held in memory."""
    step = max(1, _SLAB_VOXELS // (grid.rows * grid.columns))
    for first in range(0, grid.shape_zyx[0], step):
        last = min(first + step, grid.shape_zyx[0])
        yield slice(first, last), Slab.of(grid, first, last, origin_lps_mm)


def pelvic_phantom(seed: int, *, couch: bool = True, devices: Devices = NO_DEVICES) -> PelvicPhantom:
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
        devices=devices,
    )
