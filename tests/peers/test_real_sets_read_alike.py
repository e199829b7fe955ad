"""Real structure sets, read by us and by plastimatch: the same voxels, and each difference explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from other_readers import read_with_plastimatch
from pydicom.uid import ExplicitVRLittleEndian
from shapely import LineString, MultiLineString, Point

from service.contouring.ct_series import CtSeries
from service.dicom.polygon_filling import rasterise
from service.dicom.structure_set_reader import (
    Roi,
    RoiSlices,
    read_structure_set,
    roi_mask,
    roi_slices,
)
from service.training_data.name_files import KnownStructure
from service.training_data.roi_drawing import CtFrame, draw_roi

pytestmark = [pytest.mark.peer, pytest.mark.shared_data, pytest.mark.slow]

ON_PLANE_MM = 0.05
ON_EDGE_PIXELS = 0.02


class RealSet:
    """A CT, every so many of the ROIs that were drawn on it, and what plastimatch sees of them."""

    def __init__(self, folder: Path, scratch: Path, every: int = 1) -> None:
        headers = {file: pydicom.dcmread(file) for file in folder.iterdir()}
        (scratch / "ct").mkdir()
        for file, ds in headers.items():
            if ds.Modality == "CT":
                ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian  # plastimatch reads no JPEG 2000
                ds.PixelData = bytes(ds.Rows * ds.Columns * 2)
                ds["PixelData"].is_undefined_length = False
                ds.save_as(scratch / "ct" / file.name, implicit_vr=False, little_endian=True)
        (self.file,) = [file for file, ds in headers.items() if ds.Modality == "RTSTRUCT"]
        self.series = CtSeries.read([file for file, ds in headers.items() if ds.Modality == "CT"])
        self.grid = self.series.grid
        self.keys = [(one.sop_instance_uid, one.frame_number) for one in self.series.references]
        drawn = [roi for roi in read_structure_set(self.file).rois if self.placed(roi).polygons]
        self.rois = {roi.name: roi for roi in drawn[::every]}
        self.theirs = read_with_plastimatch(
            self.file, scratch / "ct", scratch / "out", self.grid, only=self.rois
        )

    def placed(self, roi: Roi) -> RoiSlices:
        return roi_slices(roi, self.grid, self.keys)

    def union(self, roi: Roi) -> np.ndarray:
        """Every contour filled by itself: a contour within another is no hole."""
        mask = np.zeros(self.grid.shape_zyx, dtype=bool)
        for k, polygons in self.placed(roi).polygons.items():
            for polygon in polygons:
                mask[k] |= rasterise([polygon], self.grid.rows, self.grid.columns)
        return mask


def test_a_clinical_set_differs_in_holes_alone(shared_data, tmp_path):
    """plastimatch fills the hole that a contour within another is (PS3.3 C.8.8.6); else not a voxel differs."""
    real = RealSet(shared_data / "dicom" / "breast-98-slices-jpeg2000", tmp_path)
    assert len(real.rois) == 9
    same = set()
    for name, roi in real.rois.items():
        np.testing.assert_array_equal(real.union(roi), real.theirs[name], err_msg=name)
        if (roi_mask(roi, real.grid, real.keys) == real.theirs[name]).all():
            same.add(name)
    assert set(real.rois) - same == {"BODY", "Lt Lung"}
    inner = real.theirs["Lt Lung"] & ~roi_mask(real.rois["Lt Lung"], real.grid, real.keys)
    assert 0 < inner.sum() < 0.005 * real.theirs["Lt Lung"].sum()


def test_a_set_whose_contours_left_their_slices_is_refused_and_the_rest_reads_alike(shared_data, tmp_path):
    """Its CT lacks a slice near one end, and its contours lie as if the others were spread evenly.

    On the slices that they still lie on, voxels differ only where a contour passes through their very centre.
    """
    real = RealSet(shared_data / "dicom" / "thorax-20-slices", tmp_path, every=4)
    assert len(real.rois) == 9
    frame = CtFrame(real.grid, real.keys, real.series.frame_of_reference_uid)
    compared = 0
    for name, roi in real.rois.items():
        heights = real.placed(roi).heights_mm
        drawing = draw_roi(roi, frame, KnownStructure(name, several_parts=True))
        if real.placed(roi).farthest_off_plane_mm > 0.4:
            assert "roi.off-slice" in [one.code for one in drawing.sayings], name
        ours = real.union(roi)
        for k, polygons in real.placed(roi).polygons.items():
            if max(max(-low, high) for low, high in heights[k]) > ON_PLANE_MM:
                continue
            edges = MultiLineString([LineString(np.vstack([one, one[:1]])) for one in polygons])
            for row, column in np.argwhere(ours[k] != real.theirs[name][k]):
                assert edges.distance(Point(column, row)) < ON_EDGE_PIXELS, (name, k, row, column)
            compared += 1
    assert compared > 15
