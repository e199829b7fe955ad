"""Other people's readers see in our structure sets the voxels that we mean.

plastimatch (Debian package) and dcmrtstruct2nii (``make_environment.py``) rasterise by rules of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_structures import GRID, authorship, ct_series, pelvis, segmentation, structure_set
from other_readers import READERS, Masks, dsc

from models.volume import Grid, Segmentation
from service.config.tps_profile import TpsProfile
from service.contouring.contours import contours_of
from service.contouring.point_budget import within_budget
from service.contouring.profiles import PROFILES, profile_named
from service.contouring.rt_structure_set import RtStructureSet
from service.contouring.structure_names import rois_named
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


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("reader", READERS)
def test_every_profile_comes_back(reader, name, tmp_path):
    made = segmentation(pelvis())
    series = ct_series(tmp_path / "ct")
    file = tmp_path / "rtstruct.dcm"
    file.write_bytes(structure_set(series, made, profile=name).encode())
    found = READERS[reader](file, tmp_path / "ct", tmp_path / "out", GRID)
    assert min(dsc(found[n], f.mask(GRID.shape_zyx)) for n, f in made.structures.items()) >= 0.9999


@pytest.mark.parametrize("reader", READERS)
def test_fewer_points_and_names_of_identifiers_come_back(reader, tmp_path):
    """A site's own profile, all of whose rules differ from those that ship."""
    made = segmentation(pelvis())
    series = ct_series(tmp_path / "ct")
    whole = contours_of(made, GRID, keep_holes=["Spine"])
    points = sum(len(one.pixels) for of_one in whole.structures.values() for one in of_one)
    rules = {"name_characters": 8, "points_per_set": points * 3 // 4, "transfer_syntax": "explicit"}
    profile = profile_named("ours", own={"ours": TpsProfile(based_on="pinnacle", **rules)})
    fewer, moved_mm = within_budget(whole, profile)
    rois = rois_named(made.structures)
    encoded = RtStructureSet(series, fewer, made, rois, authorship(), profile).encode()
    (tmp_path / "rtstruct.dcm").write_bytes(encoded)
    found = READERS[reader](tmp_path / "rtstruct.dcm", tmp_path / "ct", tmp_path / "out", GRID)
    assert {"Femur_L", "Femur_R"} <= found.keys()
    assert 0 < moved_mm < 0.2
    shown = {"Femur_Head_L": "Femur_L", "Femur_Head_R": "Femur_R"}
    same = {n: dsc(found[shown.get(n, n)], f.mask(GRID.shape_zyx)) for n, f in made.structures.items()}
    assert min(same.values()) >= 0.98


@pytest.mark.parametrize("reader", READERS)
def test_an_oblique_ct_comes_back(reader, tmp_path):
    orientation = rotated(ORIENTATIONS["HFS"], (1, 2, 0.3), 10.0)
    grid = stacked_grid(orientation, np.arange(12) * 3.0, shape_yx=(56, 60), spacing_yx_mm=(1.2, 0.9))
    series = ct_series(tmp_path / "probe", grid)
    found = agreement(READERS[reader], tmp_path, series.grid, segmentation(pelvis(series.grid)))
    assert min(found.values()) >= 0.9999
