"""The same series as other programs read it: highdicom's transformer, SimpleITK, pydicom; synthetic and real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.spatial import ImageToReferenceTransformer

from service.contouring.ct_series import CtSeries
from service.dicom.ct_writer import write_ct
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, stacked_grid

SHAPE = (6, 20, 24)
HU = np.random.default_rng(4).integers(-1000, 2000, SHAPE).astype(np.int16)
PLANE = {"shape_yx": SHAPE[1:], "spacing_yx_mm": (1.5, 0.7), "center_lps_mm": (11.0, -173.5, 402.25)}
GRIDS = {
    **{
        name: patient_grid(
            name, shape_zyx=SHAPE, spacing_zyx_mm=(2.5, 1.5, 0.7), center_lps_mm=(11, -173.5, 402.25)
        )
        for name in ORIENTATIONS
    },
    "oblique": stacked_grid(rotated(ORIENTATIONS["FFP"], (1, 2, 3), 17), np.arange(6) * 2.5, **PLANE),
}


@pytest.mark.parametrize("name", [*ORIENTATIONS, "oblique"])
def test_every_voxel_lies_where_highdicom_puts_it(tmp_path, name):
    read = CtSeries.read(write_ct(tmp_path, HU, GRIDS[name]))
    by_uid = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, tmp_path.glob("*.dcm"))}
    index = np.array([(column, row) for row in (0, 7, 19) for column in (0, 5, 23)], dtype=float)
    for k, reference in enumerate(read.references):
        ds = by_uid[reference.sop_instance_uid]
        transformer = ImageToReferenceTransformer(
            ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing
        )
        theirs = transformer(index + 0.5)  # counts from the corner of the first pixel
        assert np.allclose(read.grid.positions_lps_mm(k, index[:, 1], index[:, 0]), theirs, atol=1e-6)


@pytest.mark.parametrize("name", [*ORIENTATIONS, "oblique"])
def test_every_voxel_is_what_simpleitk_reads_at_its_place(tmp_path, name):
    read = CtSeries.read(write_ct(tmp_path, HU, GRIDS[name]))
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    hu = read.volume().hu
    for k, row, column in [(0, 0, 0), (5, 19, 23), (2, 11, 4), (4, 3, 17)]:
        at = read.grid.positions_lps_mm(k, np.array(float(row)), np.array(float(column)))
        assert image[image.TransformPhysicalPointToIndex(at.tolist())] == hu[k, row, column]


def real(folder: Path) -> list[Path]:
    headers = {
        f: pydicom.dcmread(f, stop_before_pixels=True, specific_tags=["Modality"]) for f in folder.iterdir()
    }
    return [file for file, header in headers.items() if header.Modality == "CT"]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "slices", "findings"),
    [
        ("breast-98-slices-jpeg2000", 98, ["ct.lossy"]),
        ("thorax-20-slices", 20, ["ct.end-stands-off"]),
    ],
)
def test_real_series_are_read_as_pydicom_reads_them(shared_data, name, slices, findings):
    files = real(shared_data / "dicom" / name)
    read = CtSeries.read(files)
    assert [finding.code for finding in read.findings] == findings
    assert len(read.references) == slices
    hu = read.volume().hu
    place = {r.sop_instance_uid: k for k, r in enumerate(read.references)}
    for file in files[::7]:
        ds = pydicom.dcmread(file)
        k = place[ds.SOPInstanceUID]
        theirs = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        if "PixelPaddingValue" in ds:
            theirs[ds.pixel_array == ds.PixelPaddingValue] = -1024
        assert np.array_equal(hu[k], theirs)
        assert np.allclose(read.grid.slice_origins_lps_mm[k], ds.ImagePositionPatient)
    assert (np.diff(read.grid.slice_offsets_mm) > 0).all()
