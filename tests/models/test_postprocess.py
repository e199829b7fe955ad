import numpy as np

from models.cards.card import PostprocessCard
from models.postprocess import postprocess


def two_blocks():
    """Blocks of 27 and 8 voxels, the larger with a cavity of one voxel in it."""
    margin = np.full((9, 9, 9), -2.0, np.float32)
    margin[1:4, 1:4, 1:4] = 2
    margin[2, 2, 2] = -1
    margin[6:8, 6:8, 6:8] = 3
    return margin


def inside(margin, **steps):
    found, parts = postprocess(margin, PostprocessCard(**steps), 0.1)
    return found, int((found > 0).sum()), parts


def test_nothing_is_done_unless_the_card_says_so():
    margin = two_blocks()
    found, count, parts = inside(margin.copy())
    np.testing.assert_array_equal(found, margin)
    assert count == 34
    np.testing.assert_allclose(parts.volumes_cm3, (2.6, 0.8))


def test_the_largest_part_stays():
    found, count, parts = inside(two_blocks(), largest_component=True)
    assert count == 26
    assert found[6, 6, 6] == -3.0
    assert len(parts.volumes_cm3) == 2


def test_small_parts_go():
    assert inside(two_blocks(), minimum_cm3=0.9)[1] == 26
    assert inside(two_blocks(), minimum_cm3=0.8)[1] == 34
    assert inside(two_blocks(), minimum_cm3=5.0)[1] == 0


def test_cavities_are_filled_and_bays_are_not():
    margin = two_blocks()
    assert inside(margin, fill_holes=True)[1] == 35
    open_one = two_blocks()
    open_one[2, 2, 3] = -1
    assert inside(open_one, fill_holes=True)[1] == 33


def test_a_cavity_that_opens_over_a_corner_alone_is_open_to_26_neighbours():
    margin = two_blocks()
    margin[1, 1, 1] = -1
    assert inside(margin.copy(), fill_holes=True)[1] == 34
    assert inside(margin.copy(), fill_holes=True, hole_connectivity=26)[1] == 33
    assert inside(two_blocks(), fill_holes=True, hole_connectivity=26)[1] == 35


def test_voxels_that_touch_at_a_corner_are_one_part():
    margin = np.full((4, 4, 4), -1.0, np.float32)
    margin[0, 0, 0] = margin[1, 1, 1] = 1
    assert inside(margin, largest_component=True)[1] == 2


def test_the_margin_of_what_stays_is_not_touched():
    found, _, _ = inside(two_blocks(), largest_component=True, fill_holes=True)
    assert set(np.unique(found[1:4, 1:4, 1:4])) == {np.float32(2.0), np.float32(1.0)}


def test_nothing_positive_is_no_part():
    _, count, parts = inside(np.full((3, 3, 3), -1.0, np.float32), largest_component=True, fill_holes=True)
    assert (count, parts.volumes_cm3) == (0, ())
