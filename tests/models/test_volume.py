"""The nouns: a mask as a field."""

from __future__ import annotations

import numpy as np

from models.volume import StructureField


def test_a_mask_becomes_the_box_about_it_with_one_voxel_of_margin_where_there_is_room():
    mask = np.zeros((4, 6, 8), dtype=bool)
    mask[0, 2, 3:5] = mask[1, 3, 7] = True
    found = StructureField.of_mask(mask)
    assert found.corner_zyx == (0, 1, 2)
    assert found.field.shape == (3, 4, 6)
    assert found.field.dtype == np.float32
    assert found.from_mask
    np.testing.assert_array_equal(found.mask(mask.shape), mask)
    assert set(np.unique(found.field)) == {-1.0, 1.0}
