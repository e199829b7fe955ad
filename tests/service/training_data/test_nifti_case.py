"""A NIfTI image with masks or a label map: the same voxels in the same places, whatever the file's axes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from training_export import GRID, hu_of, organs

from models.data_sets.data_set import DataSet
from service.training_data.case_drawing import Rules
from service.training_data.import_report import ImportReport
from service.training_data.import_run import ImportPlan, run_import
from service.training_data.nifti_case import NiftiCase
from service.training_data.nifti_files import find_nifti
from service.training_data.remarks import Weight
from service.training_data.roi_names import RoiNames

MASKS = organs()
HU = hu_of(MASKS)


def image(values, axes="LPS", grid=GRID):
    """``values`` on the grid as a SimpleITK image whose axes run along ``axes``."""
    made = sitk.GetImageFromArray(values.astype(np.uint8) if values.dtype == bool else values)
    made.SetOrigin(grid.slice_origins_lps_mm[0].tolist())
    made.SetSpacing((grid.column_spacing_mm, grid.row_spacing_mm, 3.0))
    return made if axes == "LPS" else sitk.DICOMOrient(made, axes)


def write(folder, hu=HU, masks=MASKS, axes="LPS"):
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image(hu, axes), str(folder / "ct.nii.gz"))
    for name, mask in masks.items():
        sitk.WriteImage(image(mask, axes), str(folder / f"{name}.nii.gz"))


@pytest.fixture(scope="module")
def names():
    return RoiNames.read()


def drawn(root, names, **rules):
    (files,), remarks = find_nifti(root, sorted(root.rglob("*.nii*")))
    assert remarks == []
    return NiftiCase(files).draw(names, Rules(**rules), with_pixels=True)


def codes(drawing):
    return [remark.code for remark in drawing.remarks]


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LPI", "RAI", "LIP", "SPL"])
def test_every_voxel_is_where_it_was(tmp_path, names, axes):
    """Whatever the order and the direction of the file's axes, left- or right-handed."""
    write(tmp_path, axes=axes)
    drawing = drawn(tmp_path, names)
    grid = drawing.volume.grid
    rng = np.random.default_rng(1)
    for k, i, j in rng.integers((0, 0, 0), grid.shape_zyx, (200, 3)):
        at = grid.positions_lps_mm(k, np.array(float(i)), np.array(float(j)))
        offset = at - GRID.slice_origins_lps_mm[0]
        z, y, x = np.rint(
            (offset[2] / 3.0, offset[1] / GRID.row_spacing_mm, offset[0] / GRID.column_spacing_mm)
        ).astype(int)
        assert drawing.volume.hu[k, i, j] == HU[z, y, x]
        for name, mask in MASKS.items():
            assert drawing.masks[name][k, i, j] == mask[z, y, x]
    assert (np.diff(grid.slice_offsets_mm) > 0).all()
    assert codes(drawing) == (["ct.not-transverse"] if axes in ("LIP", "SPL") else [])


def test_numbers_come_back_exactly_without_turning(tmp_path, names):
    write(tmp_path)
    drawing = drawn(tmp_path, names)
    np.testing.assert_array_equal(drawing.volume.hu, HU)
    assert drawing.volume.hu.dtype == np.int16
    np.testing.assert_allclose(drawing.volume.grid.slice_origins_lps_mm, GRID.slice_origins_lps_mm, atol=1e-4)
    assert drawing.volumes_cm3()["Bladder"] == pytest.approx(
        MASKS["Bladder"].sum() * 3.0 * 3.2 * 2.8 / 1000, rel=1e-5
    )


def test_a_label_map_holds_all_structures(tmp_path, names):
    write(tmp_path, masks={})
    labels = sum(
        (number * MASKS[name] for number, name in enumerate(MASKS, 1)), np.zeros(GRID.shape_zyx, np.int32)
    )
    labels[0, 0, 0] = 9
    sitk.WriteImage(image(labels.astype(np.float32)), str(tmp_path / "label.nii.gz"))
    (tmp_path / "labels.json").write_text(
        json.dumps({name: number for number, name in enumerate((*MASKS, "Uterus"), 1)})
    )
    drawing = drawn(tmp_path, names)
    assert all((drawing.masks[name] == mask).all() for name, mask in MASKS.items())
    assert [(one.code, one.roi) for one in drawing.remarks] == [
        ("nifti.label-unnamed", "label.nii.gz"), ("roi.empty", "Uterus"),
    ]  # fmt: skip
    assert "[9]" in drawing.remarks[0].sentence
    assert not drawn(tmp_path, names, empty_is_absent=True).masks["Uterus"].any()


def shifted(values):
    made = image(values)
    made.SetOrigin([one + 0.5 for one in made.GetOrigin()])
    return made


@pytest.mark.parametrize(
    ("mask", "code"),
    [
        (shifted(MASKS["Bladder"]), "nifti.other-grid"),
        (image(MASKS["Bladder"][:-1]), "nifti.other-grid"),
        (image(MASKS["Bladder"] * np.float32(0.5)), "nifti.not-labels"),
        (image(MASKS["Bladder"] + 2 * MASKS["Rectum"].astype(np.uint8)), "nifti.not-mask"),
        (image(np.ones(GRID.shape_zyx, np.uint8)), "nifti.not-mask"),
        (image(np.zeros(GRID.shape_zyx, np.uint8)), "roi.empty"),
    ],
)
def test_a_mask_that_does_not_fit_its_image_is_left_out(tmp_path, names, mask, code):
    write(tmp_path, masks={"Rectum": MASKS["Rectum"]})
    sitk.WriteImage(mask, str(tmp_path / "Bladder.nii.gz"))
    drawing = drawn(tmp_path, names)
    assert set(drawing.masks) == {"Rectum"}
    assert [(one.code, one.roi, one.weight) for one in drawing.remarks] == [
        (code, "Bladder", Weight.LEFT_OUT)
    ]


def test_a_mask_may_be_255(tmp_path, names):
    write(tmp_path, masks={})
    sitk.WriteImage(image(MASKS["Bladder"] * np.uint8(255)), str(tmp_path / "Bladder.nii.gz"))
    assert (drawn(tmp_path, names).masks["Bladder"] == MASKS["Bladder"]).all()


@pytest.mark.parametrize(
    ("hu", "code"),
    [
        (HU.astype(np.float32) / 1000, "nifti.not-hounsfield"),
        (np.clip(HU, -400, 400), "nifti.not-hounsfield"),
        (np.where(HU > 60, np.nan, HU.astype(np.float32)), "nifti.not-finite"),
        (HU[:4], "series.too-few-slices"),
    ],
)
def test_an_image_that_is_no_planning_ct_is_refused(tmp_path, names, hu, code):
    write(tmp_path, hu=hu)
    drawing = drawn(tmp_path, names)
    assert (drawing.volume, drawing.grid, codes(drawing)) == (None, None, [code])


def test_voxels_of_another_scale_are_refused(tmp_path, names):
    write(tmp_path)
    large = image(HU)
    large.SetSpacing((9.0, 9.0, 3.0))
    sitk.WriteImage(large, str(tmp_path / "ct.nii.gz"))
    assert codes(drawn(tmp_path, names)) == ["series.pixel-spacing"]


def test_ct_numbers_that_are_not_whole_are_told(tmp_path, names):
    write(tmp_path, hu=HU + np.float32(0.25))
    drawing = drawn(tmp_path, names)
    assert codes(drawing) == ["ct.rounded"]
    assert drawing.volume.hu.dtype == np.float32


def test_a_damaged_file_is_refused(tmp_path, names):
    write(tmp_path)
    file = tmp_path / "ct.nii.gz"
    file.write_bytes(file.read_bytes()[:2000])
    assert codes(drawn(tmp_path, names)) == ["nifti.unreadable"]
    write(tmp_path)
    mask = tmp_path / "Bladder.nii.gz"
    mask.write_bytes(b"no")
    assert codes(drawn(tmp_path, names)) == ["nifti.unreadable"]


def test_a_folder_of_pairs_becomes_a_data_set(tmp_path):
    for number in range(3):
        write(tmp_path / "pairs" / f"patient {number}" / "scan", hu=hu_of(MASKS, seed=number), axes="RAS")
    report = ImportReport()
    run_import(
        ImportPlan(tmp_path / "pairs", tmp_path / "data", tmp_path / "records"),
        report,
        lambda items, _: items,
    )
    data = DataSet.open(tmp_path / "data")
    assert len(data.names()) == 3
    assert data.contents.source.startswith("NIfTI, imported by Delineate")
    assert {one.code for one in report.all_remarks()} == {"nifti.patients"}
    assert "patient 1" in (tmp_path / "records" / "patients.csv").read_text()
