import numpy as np
import pytest

from models.left_right import split_sides

MM = (10.0, 10.0, 10.0)  # a voxel is a cubic centimetre


def margin(*boxes, shape=(4, 6, 30)):
    field = np.full(shape, -2.0, np.float32)
    for z, y, x in boxes:
        field[slice(*z), slice(*y), slice(*x)] = 3.0
    return field


RIGHT, LEFT = ((0, 2), (1, 3), (4, 7)), ((1, 3), (2, 4), (20, 23))  # x runs to the patient's left


def voxels(field):
    return set(zip(*np.nonzero(field > 0), strict=True))


def test_two_parts_far_apart_are_the_right_and_the_left_one():
    both = margin(RIGHT, LEFT)
    found = split_sides(both, [], MM)
    assert voxels(found.left) == voxels(margin(LEFT))
    assert voxels(found.right) == voxels(margin(RIGHT))
    assert found.left.min() == -3  # the other side's parts, turned
    assert (np.abs(found.left) == np.abs(both)).all()


def test_one_part_alone_is_told_by_what_lies_on_the_midline():
    sacrum = margin(((0, 4), (4, 6), (12, 15)))
    found = split_sides(margin(LEFT), [margin(), sacrum], MM)
    assert voxels(found.left) == voxels(margin(LEFT))
    assert not voxels(found.right)


def test_without_a_midline_one_part_is_on_no_side():
    assert split_sides(margin(LEFT), [margin()], MM) is None


def test_two_parts_of_one_head_are_not_called_left_and_right():
    near = margin(((0, 2), (1, 3), (4, 6)), ((0, 2), (1, 3), (9, 11)))  # centres 50 mm apart
    assert split_sides(near, [], MM) is None


def test_a_speck_is_no_second_head():
    assert split_sides(margin(LEFT, ((0, 1), (0, 1), (2, 3))), [], MM) is None


def test_a_part_on_both_sides_of_the_midline_is_on_neither():
    assert split_sides(margin(((0, 1), (0, 1), (10, 18))), [margin(((0, 4), (4, 6), (12, 15)))], MM) is None


@pytest.mark.parametrize("midline", [[], [margin(((0, 4), (4, 6), (12, 15)))]])
def test_nothing_found_is_nothing_on_either_side(midline):
    found = split_sides(margin(), midline, MM)
    assert not voxels(found.left)
    assert not voxels(found.right)
