"""Simple bodies that can be computed on paper, averaged over each pixel as a scanner does."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass

import numpy as np
import pydicom
import pytest
import torch
import yaml

from models.cards.card import read_card
from models.cards.weights import save_weights
from models.networks import build
from models.volume import CtVolume, Grid


def straight_grid(shape_zyx, spacing_zyx_mm=(3.0, 2.0, 2.0)):
    """Slices perpendicular to z, the middle of the volume at the origin; x to the left, y to posterior."""
    dz, dy, dx = spacing_zyx_mm
    n, rows, columns = shape_zyx
    origins = np.zeros((n, 3))
    origins[:, 0] = -(columns - 1) / 2 * dx
    origins[:, 1] = -(rows - 1) / 2 * dy
    origins[:, 2] = (np.arange(n) - (n - 1) / 2) * dz
    return Grid(origins, np.array([dx, 0.0, 0.0]), np.array([0.0, dy, 0.0]), rows, columns)


@dataclass
class Slab:
    """The same picture in every slice: pixel averages of parts painted in turn."""

    grid: Grid
    finer: int = 4

    def __post_init__(self):
        _, rows, columns = self.grid.shape_zyx
        dy, dx = self.grid.row_spacing_mm / self.finer, self.grid.column_spacing_mm / self.finer
        self.y = ((np.arange(rows * self.finer) + 0.5) * dy - rows * self.finer * dy / 2)[:, None]
        self.x = ((np.arange(columns * self.finer) + 0.5) * dx - columns * self.finer * dx / 2)[None, :]
        self.hu = np.full((self.y.size, self.x.size), -1000.0)
        self.body = np.zeros(self.hu.shape, bool)

    def ellipse(self, center_yx, half_yx):
        return ((self.y - center_yx[0]) / half_yx[0]) ** 2 + ((self.x - center_yx[1]) / half_yx[1]) ** 2 < 1

    def bar(self, y_from_to, x_from_to):
        return (
            (self.y > y_from_to[0])
            & (self.y < y_from_to[1])
            & (self.x > x_from_to[0])
            & (self.x < x_from_to[1])
        )

    def paint(self, where, hu, of_body):
        self.hu[where] = hu
        self.body[where] = of_body

    def volume(self, noise_hu=0.0, seed=0):
        n, rows, columns = self.grid.shape_zyx
        blocks = (rows, self.finer, columns, self.finer)
        mean = self.hu.reshape(blocks).mean(axis=(1, 3))
        hu = np.repeat(mean[None], n, axis=0)
        hu = hu + np.random.default_rng(seed).normal(0, noise_hu, hu.shape) if noise_hu else hu
        part = self.body.reshape(blocks).mean(axis=(1, 3))
        return CtVolume(np.round(hu).astype(np.int16), self.grid), np.repeat(part[None] > 0.5, n, axis=0)


@pytest.fixture
def slab():
    return Slab(straight_grid((12, 220, 260)))


@pytest.fixture
def make_grid():
    return straight_grid


@pytest.fixture
def make_slab():
    return Slab


def filled(polygon_xy, rows, columns):
    """Pixels whose centre an even number of edges does not enclose."""
    mask = np.zeros((rows, columns), bool)
    x0, y0 = polygon_xy.T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    for row in range(max(0, int(np.floor(y0.min()))), min(rows - 1, int(np.ceil(y0.max()))) + 1):
        cut = (y0 <= row) != (y1 <= row)
        at = np.sort(x0[cut] + (row - y0[cut]) / (y1[cut] - y0[cut]) * (x1[cut] - x0[cut]))
        for start, end in zip(at[::2], at[1::2], strict=True):
            mask[row, max(0, int(np.ceil(start))) : max(0, int(np.floor(end)) + 1)] ^= True
    return mask


@pytest.fixture(scope="session")
def read_series():
    """Read a CT folder by hand, and masks of the named ROIs of the RTSTRUCT beside it."""

    def read(folder, *names):
        found = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
        slices = [one for one in found if one.Modality == "CT"]
        row, column = (np.array(slices[0].ImageOrientationPatient[i : i + 3], float) for i in (0, 3))
        normal = np.cross(row, column)
        slices.sort(key=lambda one: float(normal @ np.array(one.ImagePositionPatient, float)))
        origins = np.array([one.ImagePositionPatient for one in slices], float)
        spacing = [float(v) for v in slices[0].PixelSpacing]
        grid = Grid(origins, row * spacing[1], column * spacing[0], slices[0].Rows, slices[0].Columns)
        hu = [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices]
        volume = CtVolume(np.round(hu).astype(np.int16), grid)
        sets = [one for one in found if one.Modality == "RTSTRUCT"]
        return volume, {name: roi_mask(sets[0], name, grid) for name in names}

    return read


def roi_mask(structure_set, name, grid):
    number = next(r.ROINumber for r in structure_set.StructureSetROISequence if r.ROIName == name)
    items = [r for r in structure_set.ROIContourSequence if r.ReferencedROINumber == number]
    mask = np.zeros(grid.shape_zyx, bool)
    for contour in (c for item in items for c in item.ContourSequence):
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        k = int(np.argmin(np.abs((grid.slice_origins_lps_mm - points[0]) @ grid.normal)))
        off = points - grid.slice_origins_lps_mm[k]
        x = off @ grid.column_step_lps_mm / grid.column_spacing_mm**2
        y = off @ grid.row_step_lps_mm / grid.row_spacing_mm**2
        mask[k] ^= filled(np.stack([x, y], axis=1), grid.rows, grid.columns)
    return mask


@dataclass
class Orientation:
    """Directions, as unit vectors along the patient's axes, in which columns and rows are counted."""

    column: np.ndarray
    row: np.ndarray

    @property
    def _directions(self):
        return np.cross(self.column, self.row), self.row, self.column

    @property
    def _axes(self):
        return [int(np.abs(d).argmax()) for d in self._directions]  # 0 x, 1 y, 2 z

    @property
    def _flips(self):
        return tuple(
            slice(None, None, int(d[axis])) for d, axis in zip(self._directions, self._axes, strict=True)
        )

    def of(self, straight):
        """The same patient as ``straight`` (on a ``straight_grid``) in this orientation."""
        grid = straight.grid
        spacing = [grid.column_spacing_mm, grid.row_spacing_mm, float(np.diff(grid.slice_offsets_mm)[0])]
        hu = straight.hu.transpose([2 - axis for axis in self._axes])[self._flips]
        steps = [d * spacing[axis] for d, axis in zip(self._directions, self._axes, strict=True)]
        first = -sum((n - 1) / 2 * step for n, step in zip(hu.shape, steps, strict=True))
        origins = first + np.arange(hu.shape[0])[:, None] * steps[0]
        return CtVolume(np.ascontiguousarray(hu), Grid(origins, steps[2], steps[1], *hu.shape[1:]))

    def undone(self, array):
        """An array that lies as ``of`` made it, as it lies on the straight grid."""
        return array[self._flips].transpose(np.argsort([2 - axis for axis in self._axes]))


@pytest.fixture(scope="session")
def every_orientation():
    """All 24 ways in which columns, rows and slices can run along the patient's axes."""
    unit = np.eye(3)
    return [
        Orientation(unit[c] * sign_c, unit[r] * sign_r)
        for c, r in itertools.permutations(range(3), 2)
        for sign_c, sign_r in itertools.product((1, -1), repeat=2)
    ]


@pytest.fixture
def network_bundle(tmp_path):
    """Make a bundle with a small network of random weights; a function of what its card shall say."""

    def make(structures=("Femur_Head_L", "Femur_Head_R"), /, *, scale=40.0, change_state=None, **changes):
        outputs = ["background", *structures]
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        torch.manual_seed(1)
        network = build("unet-res-enc", in_channels=1, classes=len(outputs), features=[4, 6])
        with torch.no_grad():
            network.head.weight.mul_(scale)
            network.head.bias.zero_()
            if change_state is not None:
                change_state(network)
        of_weights = save_weights(network.state_dict(), folder / "weights.safetensors", torch.float32)
        content = {
            "name": "tiny",
            "version": "1.0",
            "kind": "network",
            "summary": "random weights",
            "intended_use": "tests",
            "licence": "Apache-2.0",
            "validated": False,
            "validation": "none",
            "network": {"name": "unet-res-enc", "arguments": {"features": [4, 6]}},
            "weights": asdict(of_weights),
            "input": {
                "spacing_zyx_mm": [6.0, 5.0, 4.0],
                "patch_zyx": [8, 12, 16],
                "overlap": 0.5,
                "padding_hu": -1000,
                "channels": [{"clip_hu": [-1000, 1000], "subtract_hu": 0, "divide_hu": 500}],
            },
            "outputs": outputs,
            "structures": {
                name: {"extent": "by chance", "volume_cm3": [0.001, 1e6], "several_parts": True}
                for name in structures
            },
        }
        (folder / "card.yaml").write_text(yaml.safe_dump(content | changes))
        return read_card(folder / "card.yaml")

    return make
