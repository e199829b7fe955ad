"""Training samples: synthetic CT with its labels, from tissue maps and from procedural phantoms.

Sample number n of a run is a function of the run's seed and n alone, whoever makes it and in whatever order:
that is what makes training resumable and a sample reproducible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.chance import Chance
from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED, PhantomSample, pelvic_phantom
from models.synthetic_ct.scanner import AIR_HU, field_of_view_cut, laid_on_couch, scanned
from models.synthetic_ct.tissues.deformation import AnatomyMap, see
from models.synthetic_ct.tissues.tissue_maps import CLASS_COUNT, TissueMap, class_table
from models.synthetic_ct.tissues.tissue_painting import paint
from models.volume import Grid

_HEIGHTS_MM = (  # middle of a sample above the femoral heads: 2 of 8 the chest, 2 anywhere, 4 the pelvis
    (420.0, 620.0),
    (380.0, 560.0),
    (-80.0, 320.0),
    (-80.0, 320.0),
    (0.0, 130.0),
)


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """One patch.

    Attributes:
        hu: ``(z, y, x)`` float32, -1024 to 3071.
        labels: the same shape, uint8 network classes.
    """

    hu: Tensor
    labels: Tensor


@dataclass(slots=True)
class SyntheticCt:
    """Makes samples.

    Attributes:
        seed: of the run.
        patch_zyx: voxels of a patch.
        spacing_mm: width of its voxels, the same along every axis.
        maps: tissue maps to draw from; may be empty.
        phantom_seeds: phantoms to draw from, first and one past the last; may be empty.
        phantom_share: how many of the samples are phantoms, 0 to 1; 1 if there are no maps.
        device: where maps are deformed and painted.

    Raises:
        ValueError: nothing to make samples from, or seeds that are kept for demonstrations and tests.
    """

    seed: int
    patch_zyx: tuple[int, int, int]
    spacing_mm: float
    maps: Sequence[TissueMap] = ()
    phantom_seeds: tuple[int, int] = (0, 0)
    phantom_share: float = 0.3
    device: str = "cpu"
    _anatomies: list[AnatomyMap] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._anatomies = [AnatomyMap.of(torch.from_numpy(m.codes).to(self.device)) for m in self.maps]
        if not self.maps and self.phantom_seeds[0] >= self.phantom_seeds[1]:
            message = "there is nothing to make samples from: name tissue maps, phantom seeds or both"
            raise ValueError(message)
        if self.phantom_seeds[1] > NEVER_TRAINED_FROM_SEED:
            message = (
                f"phantoms from seed {NEVER_TRAINED_FROM_SEED} on are never trained on; choose lower ones"
            )
            raise ValueError(message)

    def sample(self, number: int) -> Sample:
        """Sample ``number``, whatever it shows."""
        chance = Chance.of(self.seed, number, self.device)
        phantom_seed = self._phantom_seed(chance)
        if phantom_seed is not None:
            return self.from_phantom(phantom_seed, chance)
        return self.from_map(chance.below(len(self._anatomies)), chance)

    def shows_phantom(self, number: int) -> bool:
        """True if sample ``number`` is of a phantom; whoever asks, on whatever device."""
        return self._phantom_seed(Chance.of(self.seed, number)) is not None

    def _phantom_seed(self, chance: Chance) -> int | None:
        """The seed of the phantom that a sample shows; None if it shows a tissue map."""
        first, end = self.phantom_seeds
        if first < end and (not self.maps or chance.happens(self.phantom_share)):
            return first + chance.below(end - first)
        return None

    def from_map(self, index: int, chance: Chance) -> Sample:
        """A sample of tissue map ``index``: deformed, painted at twice the resolution, scanned."""
        seen = see(self._anatomies[index], self.patch_zyx, self.spacing_mm, chance)
        fine_mm = self.spacing_mm / 2
        hu = paint(seen.fine, fine_mm, chance)
        hu = laid_on_couch(hu, seen.fine == 0, fine_mm, chance)
        hu = torch.where(seen.fine_known, hu, torch.full_like(hu, AIR_HU))
        hu = functional.avg_pool3d(hu[None, None], 2)[0, 0]
        classes = torch.from_numpy(class_table()).to(seen.coarse.device)
        labels = classes[seen.coarse.int()] * seen.coarse_known
        return self._finished(scanned(hu, self.spacing_mm, chance), labels, chance)

    def from_phantom(self, phantom_seed: int, chance: Chance) -> Sample:
        """A sample of a procedural phantom: turned, placed at random, drawn at twice the resolution."""
        phantom = pelvic_phantom(phantom_seed, couch=chance.happens(0.75))
        grid = _view(self.patch_zyx, self.spacing_mm, phantom.origin_lps_mm, chance)
        drawn = averaged_down(phantom.sample(grid))
        noise = torch.from_numpy(chance.choices.standard_normal(drawn.hu.shape, dtype=np.float32))
        hu = drawn.hu + noise * chance.between(0, 18)
        hu = hu * chance.between(0.975, 1.025) + chance.between(-8, 8)
        return self._finished(hu.to(self.device), drawn.labels.to(self.device), chance)

    def _finished(self, hu: Tensor, labels: Tensor, chance: Chance) -> Sample:
        cut = field_of_view_cut(self.patch_zyx, self.spacing_mm, chance)
        hu = torch.where(cut, torch.full_like(hu, AIR_HU), hu)
        labels = torch.where(cut, torch.zeros_like(labels), labels)
        if chance.happens(0.05):
            hu = hu.clamp(max=chance.between(900, 1100))
        return Sample(hu.clamp(-1024, 3071), labels)


def _view(
    patch_zyx: tuple[int, int, int], spacing_mm: float, origin_mm: NDArray[np.float64], chance: Chance
) -> Grid:
    """A grid of twice as many voxels, slightly turned and stretched, somewhere along the phantom."""
    angles = np.deg2rad([chance.between(-6, 6) for _ in range(3)])
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    turn = (
        np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    )
    pixel_mm, slice_mm = (spacing_mm / 2 * chance.between(0.86, 1.16) for _ in range(2))
    slices, rows, columns = (2 * n for n in patch_zyx)
    low, high = _HEIGHTS_MM[min(chance.below(8), 4)]
    height = chance.between(low, high)
    middle = origin_mm + turn @ np.array([chance.between(-20, 20), chance.between(-15, 20), height])
    column, row, normal = turn[:, 0] * pixel_mm, turn[:, 1] * pixel_mm, turn[:, 2] * slice_mm
    corner = middle - column * (columns - 1) / 2 - row * (rows - 1) / 2
    origins = corner + (np.arange(slices) - (slices - 1) / 2)[:, None] * normal
    return Grid(origins, column, row, rows, columns)


def averaged_down(drawn: PhantomSample) -> Sample:
    """A phantom drawn at twice the resolution, as one voxel for eight."""
    hu = functional.avg_pool3d(torch.from_numpy(drawn.hu.astype(np.float32))[None, None], 2)[0, 0]
    return Sample(hu, torch.from_numpy(commonest_of_eight(class_table()[drawn.tissue])))


def commonest_of_eight(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(2z, 2y, 2x)`` classes to ``(z, y, x)``: each voxel gets what most of its eight parts are."""
    z, y, x = (n // 2 for n in classes.shape)
    parts = classes.reshape(z, 2, y, 2, x, 2).transpose(1, 3, 5, 0, 2, 4).reshape(8, z, y, x)
    votes = np.zeros((z, y, x), np.uint8)
    winner = np.zeros((z, y, x), np.uint8)
    for number in range(CLASS_COUNT):
        count = (parts == number).sum(0, dtype=np.uint8)
        winner[count > votes] = number
        np.maximum(votes, count, out=votes)
    return winner
