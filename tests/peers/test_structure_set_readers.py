"""Other people's readers see in our structure sets the voxels that we mean.

plastimatch (Debian package) and dcmrtstruct2nii (``make_environment.py``) rasterise by rules of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_structures import GRID, ct_series, pelvis, segmentation, structure_set
from other_readers import READERS, Masks, dsc

from models.volume import Grid, Segmentation
from service.contouring.profiles import profile_named
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, stacked_grid

pytestmark = pytest.mark.peer


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
