"""Structure sets written by hand, squares whose voxels can be counted on paper, and two real ones."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage

from models.volume import Grid
from service.contouring.ct_series import CtSeries
from service.dicom.patient_grids import patient_grid
from service.dicom.structure_set_reader import (
    read_masks,
    read_structure_set,
    roi_mask,
    roi_slices,
)
from service.errors import StructureSetInvalid

GRID = patient_grid("HFS", shape_zyx=(4, 20, 30), spacing_zyx_mm=(3.0, 2.0, 1.5))
SLICES = [(f"1.2.{k}", None) for k in range(4)]


def square(k: float, left: float, top: float, right: float, bottom: float, grid: Grid = GRID) -> np.ndarray:
    """Corners in pixels of slice ``k`` as points in the patient."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)
    normal_mm = (k - int(k)) * 3.0 * grid.normal
    return grid.positions_lps_mm(int(k), corners[:, 1], corners[:, 0]) + normal_mm


def contour(points: np.ndarray, uid: str | None = None, kind: str = "CLOSED_PLANAR") -> Dataset:
    item = Dataset()
    if uid is not None:
        item.ContourImageSequence = [Dataset()]
        item.ContourImageSequence[0].ReferencedSOPClassUID = CTImageStorage
        item.ContourImageSequence[0].ReferencedSOPInstanceUID = uid
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.4f}" for value in points.ravel()]
    return item


def structure_set(rois: dict[str, list[Dataset] | None]) -> bytes:
    """A set with these contours; None for an ROI without an item in the ROI Contour Sequence."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, "1.2.3"
    ds.StructureSetROISequence, ds.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), 1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, "1.9"
        ds.StructureSetROISequence.append(roi)
        if contours is not None:
            drawn = Dataset()
            drawn.ReferencedROINumber, drawn.ContourSequence = number, contours
            ds.ROIContourSequence.append(drawn)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def mask_of(*contours: Dataset) -> np.ndarray:
    return read_masks(structure_set({"A": list(contours)}), GRID, SLICES)["A"]


def test_a_square_holds_the_pixel_centres_inside_it():
    mask = mask_of(contour(square(1, 4.5, 2.5, 10.5, 6.5), "1.2.1"))
    expected = np.zeros(GRID.shape_zyx, dtype=bool)
    expected[1, 3:7, 5:11] = True
    assert (mask == expected).all()


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_square_in_a_square_is_a_hole_whatever_the_type_says(kind):
    mask = mask_of(
        contour(square(1, 4.5, 2.5, 14.5, 12.5), "1.2.1", kind),
        contour(square(1, 6.5, 4.5, 9.5, 8.5), "1.2.1", kind),
    )
    assert mask.sum() == 100 - 12
    assert not mask[1, 5:9, 7:10].any()


def test_a_keyhole_is_a_hole():
    outer, inner = square(1, 4.5, 2.5, 14.5, 12.5), square(1, 6.5, 4.5, 9.5, 8.5)
    channel = square(1, 6.5, 2.5, 6.5, 4.5)[:1]
    joined = np.vstack([outer[:1], channel, inner, inner[:1], channel, outer[1:]])
    assert mask_of(contour(joined, "1.2.1")).sum() == 100 - 12


def test_two_squares_that_share_an_edge_share_no_pixel():
    left, right = contour(square(0, 2, 2, 6, 8), "1.2.0"), contour(square(0, 6, 2, 9, 8), "1.2.0")
    assert mask_of(left).sum() + mask_of(right).sum() == mask_of(left, right).sum() == 7 * 6


def test_what_lies_beyond_the_image_is_cut_off():
    assert mask_of(contour(square(2, -9, -9, 99, 99), "1.2.2")).sum() == 20 * 30
    assert mask_of(contour(square(2, -9, 3.5, 4.5, 5.5), "1.2.2")).sum() == 5 * 2


def test_the_reference_decides_the_slice_and_the_distance_from_it_is_told():
    roi = read_structure_set(structure_set({"A": [contour(square(1, 4, 2, 9, 6), "1.2.3")]})).rois[0]
    placed = roi_slices(roi, GRID, SLICES)
    assert list(placed.polygons) == [3]
    assert placed.farthest_off_plane_mm == pytest.approx(6.0)


def test_without_a_usable_reference_the_position_decides():
    for uid in (None, "9.9.9"):
        roi = read_structure_set(structure_set({"A": [contour(square(1.3, 4, 2, 9, 6), uid)]})).rois[0]
        placed = roi_slices(roi, GRID, SLICES)
        assert list(placed.polygons) == [1]
        assert placed.placed_by_position == 1
        assert placed.farthest_off_plane_mm == pytest.approx(0.9)


def test_a_contour_beyond_the_last_slice_is_left_out_and_counted():
    below = square(0, 4, 2, 9, 6) - 2.0 * GRID.normal
    placed = roi_slices(read_structure_set(structure_set({"A": [contour(below)]})).rois[0], GRID, SLICES)
    assert (dict(placed.polygons), placed.left_out) == ({}, 1)


def test_points_open_lines_and_empty_rois_enclose_nothing():
    encoded = structure_set(
        {
            "Point": [contour(square(1, 4, 2, 9, 6)[:1], "1.2.1", "POINT")],
            "Line": [contour(square(1, 4, 2, 9, 6), "1.2.1", "OPEN_PLANAR")],
            "Two points": [contour(square(1, 4, 2, 9, 6)[:2], "1.2.1")],
            "No contours": [],
            "No item": None,
            "Square": [contour(square(1, 4.5, 2.5, 9.5, 6.5), "1.2.1")],
        }
    )
    assert read_masks(encoded, GRID, SLICES).keys() == {"Square"}
    assert len(read_structure_set(encoded).rois) == 6


@pytest.mark.parametrize("position", ["HFP", "FFS", "HFDR"])
def test_masks_come_out_in_the_images_own_rows_and_columns(position):
    grid = patient_grid(position, shape_zyx=(4, 20, 30), spacing_zyx_mm=(3.0, 2.0, 1.5))
    encoded = structure_set({"A": [contour(square(2, 4.5, 2.5, 10.5, 6.5, grid), "1.2.2")]})
    mask = read_masks(encoded, grid, SLICES)["A"]
    assert mask.sum() == mask[2, 3:7, 5:11].sum() == 24


def test_values_set_in_memory_read_like_values_from_bytes():
    roi = read_structure_set(structure_set({"A": [contour(square(1, 4.5, 2.5, 9.5, 6.5), "1.2.1")]}))
    item = roi.header.ROIContourSequence[0].ContourSequence[0]
    assert len(item.ContourData) == 12
    assert roi_mask(roi.rois[0], GRID, SLICES).sum() == 20


@pytest.mark.parametrize(
    ("bad", "code"),
    [(b"", "structure-set.unreadable"), (b"no DICOM at all", "structure-set.unreadable")],
)
def test_what_is_not_dicom_is_refused(bad, code):
    with pytest.raises(StructureSetInvalid) as refusal:
        read_structure_set(bad)
    assert refusal.value.code == code


def test_another_class_is_refused(tmp_path):
    ds = pydicom.dcmread(BytesIO(structure_set({})))
    ds.SOPClassUID = CTImageStorage
    ds.save_as(tmp_path / "ct.dcm")
    with pytest.raises(StructureSetInvalid) as refusal:
        read_structure_set(tmp_path / "ct.dcm")
    assert refusal.value.code == "structure-set.other-class"


@pytest.mark.parametrize("junk", [b"x", b"nan", b"1\\2", b""])
def test_contour_data_that_are_not_triples_of_numbers_are_refused(junk):
    encoded = structure_set({"A": [contour(square(1, 4, 2, 9, 6), "1.2.1")]})
    first = b"%.4f" % square(1, 4, 2, 9, 6)[0, 0]
    assert first + b"\\" in encoded
    with pytest.raises(StructureSetInvalid) as refusal:
        read_structure_set(encoded.replace(first, junk.ljust(len(first)), 1))
    assert refusal.value.code == "structure-set.unreadable"


@pytest.mark.shared_data
def test_a_clinical_set_of_a_treated_patient_is_read_whole(shared_data):
    folder = shared_data / "dicom" / "breast-98-slices-jpeg2000"
    files = [file for file in folder.iterdir() if file.name.startswith(("1.", "2."))]
    kinds = {file: pydicom.dcmread(file, stop_before_pixels=True).Modality for file in files}
    series = CtSeries.read([file for file, kind in kinds.items() if kind == "CT"])
    (file,) = [file for file, kind in kinds.items() if kind == "RTSTRUCT"]
    found = read_structure_set(file)
    keys = [(reference.sop_instance_uid, reference.frame_number) for reference in series.references]
    body = next(roi for roi in found.rois if roi.name == "BODY")
    placed = roi_slices(body, series.grid, keys)
    assert len(found.rois) == 10
    assert len(placed.polygons) == 98
    assert placed.placed_by_position == placed.left_out == 0
    assert placed.farthest_off_plane_mm < 0.01
    litres = roi_mask(body, series.grid, keys).sum() * series.grid.voxel_volumes_mm3()[0] / 1e6
    assert 5 < litres < 60


@pytest.mark.parametrize("vr", [b"ZZ", b"FD"], ids=["an unknown VR", "one of another length"])
def test_what_a_library_fails_over_is_refused(vr, tmp_path):
    ds = pydicom.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", "2.25.1"
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.save_as(tmp_path / "set.dcm", enforce_file_format=True)
    data = (tmp_path / "set.dcm").read_bytes()
    at = data.index(b"\x08\0\x16\0UI") + 4
    with pytest.raises(StructureSetInvalid) as caught:
        read_structure_set(data[:at] + vr + data[at + 2 :])
    assert caught.value.code == "structure-set.unreadable"
