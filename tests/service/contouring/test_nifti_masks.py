"""NIfTI files: where each voxel is, RAS on paper; what the JSON file says; which CT cannot be said in NIfTI."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_structures import GRID, as_field, authorship, ct_series, pelvis, segmentation

from models.volume import Grid, Provenance
from service.backlog.file_sets import files_of, instance_uid_of
from service.contouring.nifti_masks import EMPTY, UNEVEN, as_image, write_nifti
from service.contouring.structure_names import rois_named
from service.errors import StructureSetInvalid

TILT = np.deg2rad(30.0)
"""About the patient's left-right axis: rows and normal turn in the sagittal plane."""


def tilted_grid() -> Grid:
    """4 slices 5 mm apart, 6 rows of 2 mm, 8 columns of 1 mm; the first voxel at (10, 20, 30) LPS."""
    row = np.array([0.0, np.cos(TILT), np.sin(TILT)])
    normal = np.array([0.0, -np.sin(TILT), np.cos(TILT)])
    origins = np.array([10.0, 20.0, 30.0]) + np.arange(4)[:, None] * 5.0 * normal
    return Grid(origins, np.array([1.0, 0.0, 0.0]), 2.0 * row, 6, 8)


def sform(file: Path) -> np.ndarray:
    """The affine of the NIfTI-1 header, read by its offsets: srow_x, srow_y, srow_z (280, 16 bytes each)."""
    header = gzip.decompress(file.read_bytes())[:352]
    assert struct.unpack_from("<i", header, 0)[0] == 348
    assert struct.unpack_from("<h", header, 254)[0] > 0, "sform_code"
    return np.array([struct.unpack_from("<4f", header, 280 + 16 * row) for row in range(3)])


def test_a_voxel_of_a_tilted_grid_is_where_paper_says(tmp_path):
    file = tmp_path / "tilted.nii.gz"
    sitk.WriteImage(as_image(np.zeros((4, 6, 8), np.uint8), tilted_grid()), str(file))
    # RAS is LPS with x and y negated. From (10, 20, 30) LPS, column i, row j and slice k lie at x minus 10 + i,
    # y minus 20 + 2 j cos 30 - 5 k sin 30, z plus 30 + 2 j sin 30 + 5 k cos 30 degrees.
    cos, sin = np.sqrt(3) / 2, 0.5
    expected = [[-1, 0, 0, -10], [0, -2 * cos, 5 * sin, -20], [0, 2 * sin, 5 * cos, 30]]
    np.testing.assert_allclose(sform(file), expected, atol=1e-5)


def test_simpleitk_finds_each_voxel_where_the_grid_has_it():
    grid = tilted_grid()
    image = as_image(np.zeros((4, 6, 8), np.uint8), grid)
    for k, row, column in ((0, 0, 0), (3, 5, 7), (2, 1, 6)):
        place = image.TransformIndexToPhysicalPoint((column, row, k))
        np.testing.assert_allclose(
            place, grid.positions_lps_mm(k, np.array(float(row)), np.array(float(column)))
        )


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return ct_series(tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def made():
    return segmentation(pelvis())


def written(folder: Path, series, made, *, by_structure: bool, rois=None):
    manifest = folder / "nifti" / "structures.json"
    rois = rois_named(made.structures) if rois is None else rois
    write_nifti(manifest, series, made, rois, authorship(notes=("A note.",)), by_structure=by_structure)
    return manifest, json.loads(manifest.read_text())


def test_a_mask_for_each_structure(tmp_path, series, made):
    manifest, said = written(tmp_path, series, made, by_structure=True)
    assert [each["file"] for each in said["structures"]] == [f"{name}.nii.gz" for name in made.structures]
    for each in said["structures"]:
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(manifest.parent / each["file"])))
        np.testing.assert_array_equal(mask, made.structures[each["structure"]].mask(GRID.shape_zyx))
    left = said["structures"][list(made.structures).index("Femur_Head_L")]
    assert left["side"] == "Left"
    assert left["color"] == "#00bfff"
    assert left["code"] == {"value": "2812003", "scheme": "SCT", "meaning": "Head of Femur"}
    assert left["volume_cm3"] == round(made.structures["Femur_Head_L"].volume_cm3(GRID), 2)


def test_a_label_map_has_the_numbers_that_the_json_says(tmp_path, series, made):
    manifest, said = written(tmp_path, series, made, by_structure=False)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(manifest.parent / "labels.nii.gz")))
    assert labels.dtype == np.uint8
    numbers = {each["structure"]: each["value"] for each in said["structures"]}
    assert set(np.unique(labels)) == {0, *numbers.values()}
    rectum = made.structures["Rectum"].mask(GRID.shape_zyx)
    spine = made.structures["Spine"].mask(GRID.shape_zyx)
    kept = labels[rectum]
    assert (kept == numbers["Rectum"]).sum() >= rectum.sum() - (rectum & spine).sum()
    outside = ~made.structures["External"].mask(GRID.shape_zyx)
    assert (labels[outside & ~rectum & ~spine] != numbers["External"]).all()
    assert files_of(manifest) == [manifest.parent / "labels.nii.gz", manifest]


def test_the_json_says_what_the_structure_set_says(tmp_path, series, made):
    manifest, said = written(tmp_path, series, made, by_structure=False)
    assert instance_uid_of(manifest) == authorship().sop_instance_uid
    assert said["ct_series_instance_uid"] == series.series_instance_uid
    assert said["models"] == ["pelvis-ct@1.0"]
    assert said["notes"] == ["A note."]
    assert said["for_review"].startswith("Automatic, not approved")
    assert str(series.header.PatientName) not in manifest.read_text()
    assert str(series.header.PatientID) not in manifest.read_text()


def test_a_model_that_saw_synthetic_ct_only_says_so(tmp_path, series):
    synthetic = Provenance("pelvis-ct", "1.0", "ab" * 32, validated=False)
    _, said = written(tmp_path, series, segmentation(pelvis(), made_by=synthetic), by_structure=False)
    assert said["for_review"].startswith("NOT FOR CLINICAL USE")


def test_what_is_written_stays_as_it_is(tmp_path, series, made):
    manifest, _ = written(tmp_path, series, made, by_structure=False)
    before = {file: file.stat().st_mtime_ns for file in manifest.parent.iterdir()}
    written(tmp_path, series, made, by_structure=False)
    assert {file: file.stat().st_mtime_ns for file in manifest.parent.iterdir()} == before
    assert sorted(file.name for file in before) == ["labels.nii.gz", "structures.json"]


def test_a_name_of_the_site_becomes_a_file_name_that_any_system_takes(tmp_path, series):
    one = as_field(np.where(np.arange(GRID.columns) < 5, 1.0, -1.0) * np.ones(GRID.shape_zyx))
    made = segmentation({"Blase/links": one, "Blase links": one})
    _, said = written(tmp_path, series, made, by_structure=True)
    assert [each["file"] for each in said["structures"]] == ["Blase_links.nii.gz", "Blase_links_2.nii.gz"]


def test_uneven_slices_are_refused(tmp_path, made):
    origins = GRID.slice_origins_lps_mm.copy()
    origins[6:, 2] += np.minimum(np.arange(6), 5) * 2.0 + 2.0
    grid = Grid(origins, GRID.column_step_lps_mm, GRID.row_step_lps_mm, GRID.rows, GRID.columns)
    series = ct_series(tmp_path / "ct", grid)
    with pytest.raises(StructureSetInvalid) as refused:
        written(tmp_path, series, made, by_structure=False)
    assert refused.value.code == UNEVEN
    assert not (tmp_path / "nifti" / "structures.json").exists()


def test_nothing_found_is_refused(tmp_path, series, made):
    with pytest.raises(StructureSetInvalid) as refused:
        written(tmp_path, series, made, by_structure=True, rois=rois_named(["Prostate"]))
    assert refused.value.code == EMPTY
