import numpy as np
import pytest
from scipy import ndimage

from models.synthetic_ct.label_maps.patient_box import (
    BOX_ZYX,
    HEADS_IN_BOX_ZYX_MM,
    UNSEEN,
    BoxPlace,
    depth_mm,
)
from models.synthetic_ct.tissues.tissue_maps import Tissue

HEADS = np.array(HEADS_IN_BOX_ZYX_MM)


def place(shape, spacing, origin=(0.0, 0.0, 0.0)):
    """Of a label map whose frame is that of the box."""
    return BoxPlace.of(shape, np.array(spacing), np.array(origin), HEADS)


def disc(centre_x, radius=20.0):
    """A slice of the box with a disc; centre and radius in mm."""
    y, x = np.mgrid[: BOX_ZYX[1], : BOX_ZYX[2]] * 2.0
    return (np.hypot(y - 160, x - centre_x) < radius).astype(np.uint8) * int(Tissue.HIP_L)


def test_distances_to_the_outline_are_those_of_an_independent_library():
    rng = np.random.default_rng(3)
    mask = ndimage.gaussian_filter(rng.normal(size=(4, 40, 50)), (0, 3, 3)) > 0
    expected = np.stack(
        [
            np.where(
                one, ndimage.distance_transform_edt(one) - 0.5, 0.5 - ndimage.distance_transform_edt(~one)
            )
            for one in mask
        ]
    )
    assert depth_mm(mask) == pytest.approx(2 * expected, abs=1e-3)


def test_thin_slices_are_looked_up_and_lie_where_their_frame_says():
    codes = np.zeros((60, 30, 40), np.uint8)
    codes[10:20, 5:10, 8:12] = Tissue.BLADDER
    found = place(codes.shape, (2.0, 4.0, 4.0), (100.0, 41.0, 81.0)).of_codes(codes)
    where = np.argwhere(found == Tissue.BLADDER) * 2.0
    assert where.min(0) == pytest.approx([120, 61, 113], abs=2)
    assert where.max(0) == pytest.approx([138, 77, 125], abs=2)
    assert (found == Tissue.BLADDER).sum() == 10 * (5 * 2) * (4 * 2)


def test_between_two_slices_a_shape_moves_and_keeps_its_size():
    codes = np.stack([disc(200), disc(212)])  # 8 mm apart
    found = place(codes.shape, (8.0, 2.0, 2.0), (100.0, 0.0, 0.0)).of_codes(codes)
    middle = found[52] == Tissue.HIP_L  # 104 mm: half way
    area = middle.sum() * 4
    assert np.argwhere(middle)[:, 1].mean() * 2 == pytest.approx(206, abs=0.5)
    # the mean of the distances is 0 on an ellipse about both middles with half axes 20 and sqrt(20^2 - 6^2)
    assert area == pytest.approx(np.pi * 20 * np.sqrt(400 - 36), rel=0.06)
    nearest_only = codes[0] > 0
    assert (middle != nearest_only).any()


def test_a_shape_that_ends_narrows_half_way_to_the_next_slice():
    codes = np.stack([disc(200) * 0, disc(200), disc(200) * 0])
    found = place(codes.shape, (8.0, 2.0, 2.0), (92.0, 0.0, 0.0)).of_codes(codes) == Tissue.HIP_L
    areas = found.sum((1, 2)) * 4
    assert areas[50] == (disc(200) > 0).sum() * 4
    assert areas[48] == areas[52] == 0
    # at a quarter of the way: 0.75 (20 - r) - 0.25 * 20 > 0 within 13.3 mm
    assert areas[51] == pytest.approx(np.pi * 13.33**2, rel=0.08)


def test_outside_the_label_map_nothing_is_seen():
    shape = (50, 60, 70)
    box = place(shape, (3.0, 2.0, 2.0), (100.0, 100.0, 100.0))
    found = box.of_codes(np.zeros(shape, np.uint8))
    assert ((found == UNSEEN) == ~box.seen()).all()
    assert box.seen().sum() == 75 * 60 * 70  # 150 mm of 2 mm slices
    assert found.shape == BOX_ZYX
