"""Other people's readers see in our structure sets the voxels that we mean.

plastimatch (Debian package) and dcmrtstruct2nii (``make_environment.py``) rasterise by rules of their own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_structures import GRID, ct_series, pelvis, segmentation, structure_set

from models.volume import Grid, Segmentation
from service.contouring.profiles import profile_named
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, stacked_grid

pytestmark = pytest.mark.peer

PLASTIMATCH = shutil.which("plastimatch")
DCMRTSTRUCT2NII = Path(__file__).resolve().parents[2] / ".peers" / "pydicom2" / "bin" / "python"

CONVERT = """
import sys
from dcmrtstruct2nii import dcmrtstruct2nii
dcmrtstruct2nii(sys.argv[1], sys.argv[2], sys.argv[3], convert_original_dicom=False)
"""

Masks = dict[str, np.ndarray]


def read_with_plastimatch(file: Path, ct: Path, out: Path, grid: Grid) -> Masks:
    if PLASTIMATCH is None:
        pytest.skip("plastimatch is not installed (Debian package plastimatch)")
    command = [PLASTIMATCH, "convert", "--input", file, "--referenced-ct", ct, "--output-prefix", out]
    subprocess.run([*command, "--prefix-format", "nrrd"], check=True, capture_output=True)
    return {image.stem: on_grid(image, grid) for image in out.glob("*.nrrd")}


def read_with_dcmrtstruct2nii(file: Path, ct: Path, out: Path, grid: Grid) -> Masks:
    if not (DCMRTSTRUCT2NII.parent.parent / "complete").exists():
        pytest.skip("run tests/peers/make_environment.py: dcmrtstruct2nii needs an environment of its own")
    out.mkdir()
    subprocess.run([DCMRTSTRUCT2NII, "-c", CONVERT, file, ct, out], check=True, capture_output=True)
    return {
        image.name.removeprefix("mask_").removesuffix(".nii.gz"): on_grid(image, grid)
        for image in out.glob("mask_*.nii.gz")
    }


READERS = {"plastimatch": read_with_plastimatch, "dcmrtstruct2nii": read_with_dcmrtstruct2nii}


def on_grid(file: Path, grid: Grid) -> np.ndarray:
    """The mask in the order of our voxels: each looked up where it lies in the patient."""
    image = sitk.ReadImage(str(file))
    values = sitk.GetArrayFromImage(image) > 0
    to_index = np.linalg.inv(np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing()))
    rows, columns = np.mgrid[: grid.rows, : grid.columns].astype(float)
    mask = np.zeros(grid.shape_zyx, dtype=bool)
    for k in range(len(mask)):
        offset = grid.positions_lps_mm(k, rows, columns) - np.array(image.GetOrigin())
        x, y, z = np.moveaxis(np.rint(offset @ to_index.T).astype(int), -1, 0)
        mask[k] = values[z, y, x]
    return mask


def dsc(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def agreement(
    read: Callable[..., Masks], folder: Path, grid: Grid, made: Segmentation, **options
) -> dict[str, float]:
    """DSC by structure between what a reader sees and what the fields say."""
    series = ct_series(folder / "ct", grid, **options)
    file = folder / "rtstruct.dcm"
    file.write_bytes(structure_set(series, made).encode())
    found = read(file, folder / "ct", folder / "out", grid)
    return {name: dsc(found[name], field.mask(grid.shape_zyx)) for name, field in made.structures.items()}


@pytest.mark.parametrize("reader", READERS)
def test_masks_come_back_exactly(reader, tmp_path):
    made = segmentation(pelvis(from_mask=True))
    found = agreement(READERS[reader], tmp_path, GRID, made)
    assert found == dict.fromkeys(made.structures, 1.0)


@pytest.mark.parametrize("reader", READERS)
def test_thresholded_probabilities_come_back(reader, tmp_path):
    found = agreement(READERS[reader], tmp_path, GRID, segmentation(pelvis()))
    assert min(found.values()) >= 0.9999


@pytest.mark.parametrize("position", ["HFP", "FFS", "FFP", "HFDR", "HFDL", "FFDR", "FFDL"])
@pytest.mark.parametrize("reader", READERS)
def test_every_patient_position_comes_back(reader, position, tmp_path):
    grid = patient_grid(position, shape_zyx=GRID.shape_zyx, spacing_zyx_mm=(3.0, 1.2, 0.9))
    found = agreement(READERS[reader], tmp_path, grid, segmentation(pelvis(grid)), patient_position=position)
    assert min(found.values()) >= 0.9999


@pytest.mark.parametrize("reader", READERS)
def test_explicit_vr_comes_back(reader, tmp_path):
    made = segmentation(pelvis())
    series = ct_series(tmp_path / "ct")
    file = tmp_path / "rtstruct.dcm"
    profile = profile_named("generic", transfer_syntax="explicit")
    file.write_bytes(structure_set(series, made, profile=profile).encode())
    found = READERS[reader](file, tmp_path / "ct", tmp_path / "out", GRID)
    assert min(dsc(found[n], f.mask(GRID.shape_zyx)) for n, f in made.structures.items()) >= 0.9999


@pytest.mark.parametrize("reader", READERS)
def test_an_oblique_ct_comes_back(reader, tmp_path):
    orientation = rotated(ORIENTATIONS["HFS"], (1, 2, 0.3), 10.0)
    grid = stacked_grid(orientation, np.arange(12) * 3.0, shape_yx=(56, 60), spacing_yx_mm=(1.2, 0.9))
    series = ct_series(tmp_path / "probe", grid)
    found = agreement(READERS[reader], tmp_path, series.grid, segmentation(pelvis(series.grid)))
    assert min(found.values()) >= 0.9999
