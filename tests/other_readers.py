"""Other people's readers of structure sets: what they see, on our voxels."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models.volume import Grid

PLASTIMATCH = shutil.which("plastimatch")
DCMRTSTRUCT2NII = Path(__file__).resolve().parents[1] / ".peers" / "pydicom2" / "bin" / "python"

CONVERT = """
import sys
from dcmrtstruct2nii import dcmrtstruct2nii
dcmrtstruct2nii(sys.argv[1], sys.argv[2], sys.argv[3], convert_original_dicom=False)
"""

Masks = dict[str, np.ndarray]


def read_with_plastimatch(
    file: Path, ct: Path, out: Path, grid: Grid, only: Collection[str] | None = None
) -> Masks:
    if PLASTIMATCH is None:
        pytest.skip("plastimatch is not installed (Debian package plastimatch)")
    command = [PLASTIMATCH, "convert", "--input", file, "--referenced-ct", ct, "--output-prefix", out]
    subprocess.run([*command, "--prefix-format", "nrrd"], check=True, capture_output=True)
    found = {image.stem: image for image in out.glob("*.nrrd")}
    return {name: on_grid(found[name], grid) for name in (found if only is None else only)}


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

    def indices(k: int, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, ...]:
        offset = grid.positions_lps_mm(k, rows, columns) - np.array(image.GetOrigin())
        x, y, z = np.moveaxis(np.rint(offset @ to_index.T).astype(int), -1, 0)
        return z, y, x

    rows, columns = np.mgrid[: grid.rows : grid.rows - 1, : grid.columns : grid.columns - 1].astype(float)
    corners = [np.broadcast_arrays(k, rows, columns) for k in range(grid.shape_zyx[0])]
    if all((np.array(indices(k, rows, columns)) == ours).all() for k, ours in enumerate(corners)):
        return values[: grid.shape_zyx[0]]  # the same voxels in the same order
    rows, columns = np.mgrid[: grid.rows, : grid.columns].astype(float)
    return np.stack([values[indices(k, rows, columns)] for k in range(grid.shape_zyx[0])])


def dsc(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
