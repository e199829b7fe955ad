"""NIfTI files byte by byte (nifti1.h, nifti2.h): where voxels lie must be said once and clearly."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from service.errors import SeriesRefused
from service.training_data import nifti_image
from service.training_data.nifti_image import read_nifti

STRAIGHT = ((-2.0, 0.0, 0.0, 30.0), (0.0, -2.0, 0.0, 40.0), (0.0, 0.0, 3.0, -50.0))
"""RAS mm: columns to the right, rows to posterior; in the quaternion half a turn about z (b, c, d = 0, 0, 1)."""

VALUES = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4) - 1000


def nifti(*, version=1, order="<", dims=(3, 4, 3, 2), qform=1, sform=1, rows=STRAIGHT, quaternion=(0.0, 0.0, 1.0),
          offset=(30.0, 40.0, -50.0), qfac=1.0, datatype=4, scaling=(0.0, 0.0), values=VALUES):  # fmt: skip
    size, magic, kind_of, dim, pixdim, start, scale, codes, turn, affine = (
        (348, (b"n+1\0", 344), ("h", 70), ("8h", 40), ("8f", 76), ("f", 108), ("2f", 112), ("2h", 252),
         ("6f", 256), ("12f", 280)),
        (540, (b"n+2\0", 4), ("h", 12), ("8q", 16), ("8d", 104), ("q", 168), ("2d", 176), ("2i", 344),
         ("6d", 352), ("12d", 400)),
    )[version - 1]  # fmt: skip
    content = bytearray(size + 4)
    struct.pack_into(f"{order}i", content, 0, size)
    struct.pack_into("4s", content, magic[1], magic[0])
    for (kind, at), filled in (
        (kind_of, (datatype,)),
        (dim, (*dims, *[1] * (8 - len(dims)))),
        (pixdim, (qfac, 2.0, 2.0, 3.0, 0, 0, 0, 0)),
        (start, (size + 4,)),
        (scale, scaling),
        (codes, (qform, sform)),
        (turn, (*quaternion, *offset)),
        (affine, tuple(np.ravel(rows))),
    ):
        struct.pack_into(order + kind, content, at, *filled)
    return bytes(content) + values.astype(values.dtype.newbyteorder(order)).tobytes()


def read(tmp_path, content, name="ct.nii"):
    (tmp_path / name).write_bytes(content)
    return read_nifti(tmp_path / name)


def refusal(tmp_path, content, name="ct.nii"):
    with pytest.raises(SeriesRefused) as refused:
        read(tmp_path, content, name)
    return refused.value.code


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("qform", "sform"), [(1, 1), (1, 0), (0, 4)])
def test_a_clear_file_says_what_is_where(tmp_path, version, order, qform, sform):
    """RAS (30, 40, -50) is LPS (-30, -40, -50); from there columns go to the left, rows to anterior... in LPS."""
    image = read(tmp_path, nifti(version=version, order=order, qform=qform, sform=sform))
    np.testing.assert_array_equal(image.values, VALUES)
    np.testing.assert_allclose(image.grid.slice_origins_lps_mm, [(-30, -40, -50), (-30, -40, -47)], atol=1e-5)
    np.testing.assert_allclose(image.grid.column_step_lps_mm, (2, 0, 0), atol=1e-6)
    np.testing.assert_allclose(image.grid.row_step_lps_mm, (0, 2, 0), atol=1e-6)


def test_slices_that_descend_are_turned_round(tmp_path):
    downward = (STRAIGHT[0], STRAIGHT[1], (0.0, 0.0, -3.0, -50.0))
    image = read(tmp_path, nifti(qfac=-1.0, rows=downward))
    np.testing.assert_array_equal(image.values, VALUES[::-1])
    np.testing.assert_allclose(image.grid.slice_origins_lps_mm[:, 2], (-53, -50))


@pytest.mark.parametrize(
    ("datatype", "kind"),
    [(2, "u1"), (4, "i2"), (8, "i4"), (16, "f4"), (64, "f8"), (256, "i1"), (512, "u2"), (768, "u4")],
)
def test_every_type_of_voxel_is_read(tmp_path, datatype, kind):
    values = (VALUES + 1000).astype(kind)
    np.testing.assert_array_equal(read(tmp_path, nifti(datatype=datatype, values=values)).values, values)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [((0.0, 7.0), VALUES), ((1.0, 0.0), VALUES), ((1.0, -24.0), VALUES - 24), ((0.5, 10.0), VALUES / 2 + 10)],
)
def test_values_are_scaled_as_the_file_says(tmp_path, scaling, expected):
    np.testing.assert_array_equal(read(tmp_path, nifti(scaling=scaling)).values, expected)


def test_compressed_files_are_read_too(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, gzip.compress(nifti()), "ct.nii.gz").values, VALUES)
    assert refusal(tmp_path, gzip.compress(nifti(qform=0, sform=0)), "ct.nii.gz") == "nifti.no-orientation"


def test_without_a_transform_left_and_right_are_not_guessed(tmp_path):
    assert refusal(tmp_path, nifti(qform=0, sform=0)) == "nifti.no-orientation"


def test_two_transforms_that_differ_are_refused(tmp_path):
    mirrored = ((2.0, 0.0, 0.0, -30.0), *STRAIGHT[1:])
    assert refusal(tmp_path, nifti(rows=mirrored)) == "nifti.two-orientations"
    shifted = (STRAIGHT[0], STRAIGHT[1], (0.0, 0.0, 3.0, -49.0))
    assert refusal(tmp_path, nifti(rows=shifted)) == "nifti.two-orientations"
    assert read(tmp_path, nifti(rows=shifted, qform=0)).grid.slice_origins_lps_mm[0, 2] == -49
    rounded = ((-2.00001, 0.0, 0.0, 30.00001), *STRAIGHT[1:])
    read(tmp_path, nifti(rows=rounded))
    assert refusal(tmp_path, nifti(qfac=-1.0)) == "nifti.two-orientations", (
        "the third axis runs the other way"
    )


def test_an_affine_that_is_none_is_refused(tmp_path):
    tilted = (STRAIGHT[0], (0.0, -2.0, 0.5, 40.0), STRAIGHT[2])
    assert refusal(tmp_path, nifti(rows=tilted, qform=0)) == "nifti.sheared"
    flat = (STRAIGHT[0], STRAIGHT[1], (0.0, 0.0, 0.0, 0.0))
    assert refusal(tmp_path, nifti(rows=flat, qform=0)) == "nifti.unreadable"
    nowhere = (STRAIGHT[0], STRAIGHT[1], (0.0, 0.0, np.nan, 0.0))
    assert refusal(tmp_path, nifti(rows=nowhere, qform=0)) == "nifti.two-orientations"


@pytest.mark.parametrize("dims", [(4, 4, 3, 1, 2), (2, 4, 3), (3, 4, 3, 0), (9, 4, 3, 2)])
def test_what_is_not_one_volume_is_refused(tmp_path, dims):
    assert refusal(tmp_path, nifti(dims=dims)) == "nifti.not-3d"


def test_a_fourth_dimension_of_one_is_one_volume(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, nifti(dims=(4, 4, 3, 2, 1))).values, VALUES)


def test_a_file_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(nifti_image, "VOXELS", 23)
    assert refusal(tmp_path, nifti()) == "nifti.too-large"


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 700, nifti()[:200], nifti()[:-1], nifti(datatype=128), nifti().replace(b"n+1\0", b"ni1\0")],
)
def test_what_is_not_whole_is_refused(tmp_path, content):
    assert refusal(tmp_path, content) == "nifti.unreadable"
    assert refusal(tmp_path, content, "ct.nii.gz") == "nifti.unreadable", "not compressed at all"
    assert refusal(tmp_path, gzip.compress(content), "ct.nii.gz") == "nifti.unreadable"
    assert refusal(tmp_path, gzip.compress(nifti())[:-9], "ct.nii.gz") == "nifti.unreadable"


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_voxels_that_are_no_number_are_refused(tmp_path, wrong):
    values = VALUES.astype(np.float32)
    values[1, 2, 3] = wrong
    assert refusal(tmp_path, nifti(datatype=16, values=values)) == "nifti.not-finite"


def test_voxels_lie_where_an_independent_library_puts_them(tmp_path):
    image = sitk.GetImageFromArray(VALUES)
    image.SetDirection(sitk.VersorTransform((0.3, -0.8, 0.52), 1.1).GetMatrix())
    image.SetSpacing((2.0, 2.5, 3.0))
    image.SetOrigin((-30.0, 12.0, 7.0))
    sitk.WriteImage(image, str(tmp_path / "itk.nii.gz"))
    found = read_nifti(tmp_path / "itk.nii.gz")
    np.testing.assert_array_equal(found.values, VALUES)
    for column, row, k in ((0, 0, 0), (3, 0, 1), (2, 2, 1)):
        ours = found.grid.positions_lps_mm(k, np.array(float(row)), np.array(float(column)))
        np.testing.assert_allclose(ours, image.TransformIndexToPhysicalPoint((column, row, k)), atol=1e-4)
