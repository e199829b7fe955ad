import numpy as np
import pytest
import torch

from models.body_shape import dilate, erode, opened
from models.cards.input_card import CropCard, InputCard
from models.view_box import _large, _large_by_runs, view_box

MM = (5.0, 5.0, 5.0)


def body_in_air(shape, *parts):
    hu = torch.full(shape, -1000.0)
    for part in parts:
        hu[part] = 40
    return hu


def test_the_box_holds_the_body_and_a_rim_but_not_a_couch():
    card = InputCard((5, 5, 5), (4, 4, 4), 0.5, -1000, ())
    body, couch = (slice(5, 30), slice(20, 40), slice(15, 45)), (slice(0, 40), slice(50, 51), slice(0, 60))
    box = view_box(body_in_air((40, 60, 60), body, couch), card, MM)
    assert box == (slice(1, 34), slice(16, 44), slice(11, 49))


def test_the_box_is_as_large_as_a_patch_where_there_is_room():
    card = InputCard((5, 5, 5), (30, 40, 50), 0.5, -1000, ())
    box = view_box(body_in_air((60, 60, 45), (slice(2, 12), slice(20, 30), slice(20, 30))), card, MM)
    assert box == (slice(0, 30), slice(5, 45), slice(0, 45))


def test_on_a_fine_grid_the_box_is_the_same_to_a_coarse_voxel():
    card = InputCard((1, 1, 1), (4, 4, 4), 0.5, -1000, ())
    fine = body_in_air((120, 90, 90), (slice(30, 90), slice(30, 60), slice(33, 63)))
    z, y, x = view_box(fine, card, (1.0, 1.0, 1.0))
    for found, (low, high) in zip((z, y, x), ((10, 110), (10, 80), (13, 83)), strict=True):
        assert low - 3 <= found.start <= low
        assert high <= found.stop <= high + 3


def crop(size_yx, centre):
    return InputCard(MM, (1, *size_yx), 0.5, -1000, (), crop=CropCard(size_yx, centre))


@pytest.mark.parametrize(("centre", "rows"), [("body", slice(20, 40)), ("bone", slice(10, 30))])
def test_a_crop_lies_about_the_centre_of_the_body_or_of_its_bone(centre, rows):
    hu = body_in_air((10, 60, 60), (slice(0, 10), slice(10, 50), slice(20, 40)))
    hu[:, 15:25, 28:32] = 700  # rows 15 to 24: centre 19.5; of the body 29.5
    assert view_box(hu, crop((20, 16), centre), MM) == (slice(0, 10), rows, slice(22, 38))


def test_a_crop_finds_a_body_that_lies_to_one_side_and_stays_inside():
    hu = body_in_air((10, 60, 60), (slice(0, 10), slice(20, 40), slice(40, 60)))
    assert view_box(hu, crop((30, 30), "body"), MM) == (slice(0, 10), slice(15, 45), slice(30, 60))
    assert view_box(hu, crop((90, 30), "bone"), MM) == (slice(0, 10), slice(0, 60), slice(30, 60))


def test_opening_is_the_same_for_tensors_as_for_arrays():
    mask = np.random.default_rng(0).random((12, 20, 24)) > 0.02
    spacing = (3.0, 3.0, 2.0)
    for shape in (dilate, erode, opened):
        np.testing.assert_array_equal(
            shape(torch.from_numpy(mask), 7.0, spacing).numpy(), shape(mask, 7.0, spacing)
        )
    assert 0 < opened(mask, 7.0, spacing).sum() < mask.sum()


@pytest.mark.parametrize("largest", [40, 4])
def test_what_is_large_enough_to_be_of_a_body_is_the_same_when_it_is_not_looked_for_on_the_processor(largest):
    """Parts of 50 cm3 at least, each voxel 0.125 cm3; where all are smaller, the largest."""
    thick = torch.zeros(30, 60, 50, dtype=torch.bool)
    thick[2:12, 3 : 3 + largest, 5:45] = True  # 2000 cm3, or 200
    thick[20:28, 30:38, 10:17] = True  # 56 cm3
    thick[20:24, 50:54, 30:34] = True  # 8 cm3
    for kept in (thick, thick[19:, 45:]):
        mask, bounds = _large(kept, MM)
        found, found_bounds = _large_by_runs(kept, MM)
        assert torch.equal(found, mask)
        np.testing.assert_array_equal(found_bounds, bounds)
