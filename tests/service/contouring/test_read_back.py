"""Right sets pass; every way in which a writer could be wrong is stopped, and each by its own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
from drawn_structures import (
    GRID,
    as_field,
    authorship,
    ball,
    ct_series,
    pelvis,
    segmentation,
    structure_set,
)
from pydicom import Dataset

from models.volume import Grid, StructureField
from service.config.protocol import Protocol, Structure
from service.contouring.contours import Contour, ContourSet, contours_of
from service.contouring.ct_series import CtSeries
from service.contouring.profiles import profile_named
from service.contouring.read_back import check
from service.contouring.rt_structure_set import RtStructureSet
from service.contouring.structure_names import kept_holes, rois_named, rois_of
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, stacked_grid
from service.errors import StructureSetInvalid


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> CtSeries:
    return ct_series(tmp_path_factory.mktemp("ct"))


def written_wrongly(
    series: CtSeries,
    fields: dict[str, StructureField],
    wrong: Callable[[Contour], Contour] = lambda contour: contour,
    grid: Grid | None = None,
) -> bytes:
    """A set whose writer changes every contour, or believes in another grid."""
    made = segmentation(fields)
    rois = rois_named(fields)
    contours = contours_of(made, series.grid, keep_holes=kept_holes(rois))
    changed = ContourSet(
        contours.grid, {n: tuple(wrong(c) for c in several) for n, several in contours.structures.items()}
    )
    believed = series if grid is None else replace(series, grid=grid)
    return RtStructureSet(believed, changed, made, rois, authorship(), profile_named("generic")).encode()


def edited(encoded: bytes, edit: Callable[[Dataset], None]) -> bytes:
    """The same set after somebody changed it."""
    ds = pydicom.dcmread(BytesIO(encoded))
    edit(ds)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, ds)
    return buffer.getvalue()


def code_of(encoded: bytes, series: CtSeries, fields: dict[str, StructureField]) -> str:
    with pytest.raises(StructureSetInvalid) as refusal:
        check(encoded, segmentation(fields), series, rois_named(fields))
    return refusal.value.code


@pytest.mark.parametrize("from_mask", [False, True])
@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
@pytest.mark.parametrize("holes", ["keyhole", "xor"])
def test_a_right_set_agrees_in_every_voxel(series, from_mask, syntax, holes):
    made = segmentation(pelvis(from_mask=from_mask))
    profile = profile_named("generic", transfer_syntax=syntax, holes=holes)
    agreements = check(
        structure_set(series, made, profile=profile).encode(), made, series, rois_named(made.structures)
    )
    assert agreements.keys() == made.structures.keys()
    assert {agreement.dsc for agreement in agreements.values()} == {1.0}
    assert agreements["Uterus"].slices == 1


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_a_right_set_agrees_in_every_patient_position(position, tmp_path):
    grid = patient_grid(position, shape_zyx=GRID.shape_zyx, spacing_zyx_mm=(3.0, 1.2, 0.9))
    series = ct_series(tmp_path, grid, patient_position=position)
    made = segmentation(pelvis(grid))
    agreements = check(structure_set(series, made).encode(), made, series, rois_named(made.structures))
    assert {agreement.dsc for agreement in agreements.values()} == {1.0}


def test_a_right_set_of_an_oblique_uneven_ct_agrees(tmp_path):
    offsets = np.cumsum([0, 2.5, 2.5, 2.5, 2.5, 5, 5, 5, 5, 5, 5, 5])
    orientation = rotated(ORIENTATIONS["HFS"], (1, 2, 0.3), 17.0)
    grid = stacked_grid(orientation, offsets, shape_yx=(56, 60), spacing_yx_mm=(1.2, 0.9))
    series = ct_series(tmp_path, grid)
    made = segmentation(pelvis(series.grid))
    agreements = check(structure_set(series, made).encode(), made, series, rois_named(made.structures))
    assert {agreement.dsc for agreement in agreements.values()} == {1.0}


def test_filled_holes_and_renamed_rois_agree(series):
    fields = pelvis()
    rois = rois_of(
        Protocol(
            model="pelvis-ct@2.0",
            structures={"Spine": Structure(holes=False, name="Ryggrad"), "Rectum": Structure(name="Ändtarm")},
        )
    )
    made = segmentation(fields)
    for profile in ("generic", "eclipse"):
        encoded = structure_set(series, made, rois=rois, profile=profile).encode()
        agreements = check(encoded, made, series, rois)
        assert [(a.dsc, a.differing_voxels) for a in agreements.values()] == [(1.0, 0), (1.0, 0)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("keep", [False, True])
def test_structures_of_islands_and_holes_agree(series, seed, keep):
    noise = np.full(GRID.shape_zyx, -1.0)
    noise[:, 9:33, 20:44] = np.random.default_rng(seed).normal(size=(12, 24, 24)).round(1 if seed % 2 else 6)
    made = segmentation({"Bowel": as_field(noise)})
    rois = (replace(rois_named(["Bowel"])[0], keeps_holes=keep),)
    agreement = check(structure_set(series, made, rois=rois).encode(), made, series, rois)["Bowel"]
    assert (agreement.dsc, agreement.slices) == (1.0, 12)


@pytest.mark.parametrize("from_mask", [False, True])
def test_one_slice_too_high_is_stopped(series, from_mask):
    fields = {"Bladder": pelvis(from_mask=from_mask)["Bladder"]}
    encoded = written_wrongly(series, fields, lambda c: replace(c, slice_index=c.slice_index + 1))
    assert code_of(encoded, series, fields) == "read-back.slices"


def test_the_right_slices_in_reverse_order_are_stopped(series):
    fields = {"Bladder": pelvis()["Bladder"]}
    inside = np.flatnonzero((fields["Bladder"].field > 0).any(axis=(1, 2))) + fields["Bladder"].corner_zyx[0]
    swap = int(inside[0] + inside[-1])
    encoded = written_wrongly(series, fields, lambda c: replace(c, slice_index=swap - c.slice_index))
    assert code_of(encoded, series, fields) == "read-back.differs"


def test_contours_that_refer_to_the_next_slice_are_stopped(series):
    fields = {"Bladder": pelvis()["Bladder"]}
    shifted = replace(series, references=series.references[1:] + series.references[:1])
    made = segmentation(fields)
    contours = contours_of(made, series.grid)
    encoded = RtStructureSet(
        shifted, contours, made, rois_named(fields), authorship(), profile_named("generic")
    ).encode()
    assert code_of(encoded, series, fields) == "read-back.off-slice"


def test_rows_and_columns_swapped_are_stopped(series):
    fields = {"Rectum": pelvis()["Rectum"]}
    encoded = written_wrongly(series, fields, lambda c: replace(c, pixels=c.pixels[:, ::-1]))
    assert code_of(encoded, series, fields) == "read-back.differs"


def test_the_two_pixel_spacings_swapped_are_stopped(series):
    grid = series.grid
    swapped = replace(
        grid,
        column_step_lps_mm=grid.column_step_lps_mm / grid.column_spacing_mm * grid.row_spacing_mm,
        row_step_lps_mm=grid.row_step_lps_mm / grid.row_spacing_mm * grid.column_spacing_mm,
    )
    fields = {"Rectum": pelvis()["Rectum"]}
    assert code_of(written_wrongly(series, fields, grid=swapped), series, fields) == "read-back.differs"


@pytest.mark.parametrize("axis", [0, 1])
def test_a_negated_axis_is_stopped(series, axis):
    mirror = np.ones(3)
    mirror[axis] = -1
    grid = series.grid
    mirrored = replace(
        grid,
        slice_origins_lps_mm=grid.slice_origins_lps_mm * mirror,
        column_step_lps_mm=grid.column_step_lps_mm * mirror,
        row_step_lps_mm=grid.row_step_lps_mm * mirror,
    )
    fields = {"Rectum": pelvis()["Rectum"]}
    assert code_of(written_wrongly(series, fields, grid=mirrored), series, fields) == "read-back.differs"


def test_negated_heights_are_stopped(series):
    grid = replace(series.grid, slice_origins_lps_mm=series.grid.slice_origins_lps_mm * (1, 1, -1))
    fields = {"Rectum": pelvis()["Rectum"]}
    assert code_of(written_wrongly(series, fields, grid=grid), series, fields) == "read-back.off-slice"


@pytest.mark.parametrize("from_mask", [False, True])
@pytest.mark.parametrize("shift", [(0.5, 0), (0, 0.5), (-0.5, 0), (0.5, 0.5), (0.2, 0)])
@pytest.mark.parametrize("name", ["External", "Bladder", "Femur_Head_R", "Uterus", "Spine"])
def test_a_shift_within_a_pixel_is_stopped(series, name, shift, from_mask):
    fields = {name: pelvis(from_mask=from_mask)[name]}
    encoded = written_wrongly(series, fields, lambda c: replace(c, pixels=c.pixels + np.array(shift)))
    assert code_of(encoded, series, fields) in ("read-back.differs", "read-back.shifted")


@pytest.mark.parametrize("shift", [(0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5)])
def test_half_a_pixel_is_stopped_even_in_a_single_voxel(series, shift):
    values = np.full(GRID.shape_zyx, -1.0)
    values[5, 20, 30] = 1.0
    fields = {"Bladder": as_field(values, from_mask=True)}
    right = written_wrongly(series, fields)
    assert check(right, segmentation(fields), series, rois_named(fields))["Bladder"].dsc == 1.0
    encoded = written_wrongly(series, fields, lambda c: replace(c, pixels=c.pixels + np.array(shift)))
    assert code_of(encoded, series, fields) in ("read-back.differs", "read-back.shifted")


def test_a_contour_drawn_through_border_pixel_centres_is_stopped(series):
    """What other writers do: half a pixel too small all round."""
    fields = {"Bladder": pelvis(from_mask=True)["Bladder"]}
    encoded = written_wrongly(
        series, fields, lambda c: replace(c, pixels=np.rint(c.pixels * 0.97 + c.pixels.mean(axis=0) * 0.03))
    )
    assert code_of(encoded, series, fields) in ("read-back.differs", "read-back.shifted")


def test_left_called_right_is_stopped(series):
    fields = pelvis()
    encoded = edited(structure_set(series, segmentation(fields)).encode(), swap_sides)
    assert code_of(encoded, series, fields) in ("read-back.slices", "read-back.differs")


def swap_sides(ds: Dataset) -> None:
    left, right = (roi for roi in ds.StructureSetROISequence if roi.ROIName.startswith("Femur"))
    left.ROIName, right.ROIName = right.ROIName, left.ROIName


def test_a_missing_slice_is_stopped(series):
    fields = {"Rectum": pelvis()["Rectum"]}

    def drop(ds: Dataset) -> None:
        del ds.ROIContourSequence[0].ContourSequence[2]

    encoded = edited(written_wrongly(series, fields), drop)
    assert code_of(encoded, series, fields) == "read-back.slices"


def test_a_missing_piece_of_a_slice_is_stopped(series):
    two = np.maximum(ball(GRID, (-12, 0, 0), 8), ball(GRID, (12, 0, 0), 8))
    fields = {"Bladder": as_field(two)}

    def drop(ds: Dataset) -> None:
        del ds.ROIContourSequence[0].ContourSequence[2]

    encoded = edited(written_wrongly(series, fields), drop)
    assert code_of(encoded, series, fields) == "read-back.differs"


def set_patient(ds: Dataset) -> None:
    ds.PatientID = "OTHER"


def set_name(ds: Dataset) -> None:
    ds.PatientName = "Phantom^synthetic"


def set_study(ds: Dataset) -> None:
    ds.StudyInstanceUID = "2.25.1"


def approve(ds: Dataset) -> None:
    ds.ApprovalStatus = "APPROVED"


def set_frame(ds: Dataset) -> None:
    ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "2.25.1"


def drop_image(ds: Dataset) -> None:
    study = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    del study.RTReferencedSeriesSequence[0].ContourImageSequence[3]


def set_series(ds: Dataset) -> None:
    study = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].SeriesInstanceUID = "2.25.1"


def same_name(ds: Dataset) -> None:
    ds.StructureSetROISequence[1].ROIName = "EXTERNAL"


def long_name(ds: Dataset) -> None:
    ds.StructureSetROISequence[1].ROIName = "Bladder_and_more_"


def padded_name(ds: Dataset) -> None:
    ds.StructureSetROISequence[1].ROIName = " Bladder"


def other_name(ds: Dataset) -> None:
    ds.StructureSetROISequence[1].ROIName = "Blase"


def second_external(ds: Dataset) -> None:
    ds.RTROIObservationsSequence[1].RTROIInterpretedType = "EXTERNAL"


def drop_roi(ds: Dataset) -> None:
    del ds.StructureSetROISequence[2]


def lift(ds: Dataset) -> None:
    contour = ds.ROIContourSequence[1].ContourSequence[0]
    contour.ContourData = [v + 0.02 * (i % 3 == 2) for i, v in enumerate(contour.ContourData)]


def unreferenced(ds: Dataset) -> None:
    del ds.ROIContourSequence[1].ContourSequence[0].ContourImageSequence


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (set_patient, "identity"),
        (set_name, "identity"),
        (set_study, "identity"),
        (approve, "approval"),
        (set_frame, "frame-of-reference"),
        (drop_image, "images"),
        (set_series, "images"),
        (same_name, "names"),
        (long_name, "names"),
        (padded_name, "names"),
        (other_name, "structures"),
        (second_external, "externals"),
        (drop_roi, "structures"),
        (lift, "off-slice"),
        (unreferenced, "off-slice"),
    ],
)
def test_what_the_set_says_beside_its_contours_is_checked_too(series, edit, code):
    fields = pelvis()
    encoded = structure_set(series, segmentation(fields)).encode()
    assert code_of(edited(encoded, edit), series, fields) == f"read-back.{code}"


def test_a_set_edited_in_nothing_passes(series):
    fields = pelvis()
    encoded = edited(structure_set(series, segmentation(fields)).encode(), lambda ds: None)
    check(encoded, segmentation(fields), series, rois_named(fields))


def test_the_sentence_names_no_patient_and_no_uid(series):
    fields = pelvis()
    encoded = edited(structure_set(series, segmentation(fields)).encode(), set_patient)
    with pytest.raises(StructureSetInvalid) as refusal:
        check(encoded, segmentation(fields), series, rois_named(fields))
    assert "SYN001" not in str(refusal.value)
    assert "2.25" not in str(refusal.value)
