"""Masks at a bit a voxel."""

import numpy as np
import pytest

from models.data_sets.packed_masks import PackedMasks


def test_a_mask_comes_back_and_takes_a_bit_a_voxel():
    mask = np.zeros((1, 3, 5), dtype=bool)
    mask[0, 0, 0] = mask[0, 1, 3] = True  # the first voxel and the ninth
    masks = PackedMasks((1, 3, 5))
    masks.put("Bladder", mask)
    assert masks.rows["Bladder"].tolist() == [0b10000000, 0b10000000]
    assert masks["Bladder"].dtype == bool
    np.testing.assert_array_equal(masks["Bladder"], mask)
    assert (list(masks), len(masks), "Bladder" in masks, "Rectum" in masks) == (["Bladder"], 1, True, False)
    with pytest.raises(KeyError):
        masks["Rectum"]


def test_what_is_taken_out_is_a_copy():
    masks = PackedMasks((1, 1, 4))
    masks.put("A", np.ones((1, 1, 4), dtype=bool))
    masks["A"][:] = False
    assert masks["A"].all()


def test_masks_of_another_shape_are_refused():
    masks = PackedMasks((2, 3, 4))
    with pytest.raises(ValueError, match="Bladder"):
        masks.put("Bladder", np.zeros((2, 3, 5), dtype=bool))
    with pytest.raises(ValueError, match="uint8"):
        masks.put("Bladder", np.zeros((2, 3, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="does not hold"):
        PackedMasks((2, 3, 4), {"Bladder": np.zeros(4, dtype=np.uint8)})
