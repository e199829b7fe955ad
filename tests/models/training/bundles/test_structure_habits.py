import pytest
from small_cases import SHAPE, block, case_of, grid_of

from models.training.bundles.structure_habits import Habits, habits_of


def test_volumes_parts_and_cuts_by_hand():
    shape = (8, 20, 24)  # voxels of 3 x 10 x 10 mm: 0.3 cm3
    grid = grid_of(shape, (3.0, 10.0, 10.0))
    middle = block((2, 5), (2, 7), (3, 7), shape_zyx=shape)  # 60 voxels, 18 cm3
    two = middle | block((3, 5), (12, 15), (12, 14), shape_zyx=shape)  # and 12 more, 3.6 cm3
    cut = block((0, 5), (2, 6), (3, 6), shape_zyx=shape)  # 60 voxels, the first slice among them
    crumb = middle | block((3, 4), (12, 13), (12, 14), shape_zyx=shape)  # 0.6 cm3 are not worth a sentence
    habits = Habits()
    for mask in (middle, two, cut, crumb, block((0, 0), (0, 0), (0, 0), shape_zyx=shape)):
        habits.see(mask, grid)
    assert habits.volumes_cm3 == pytest.approx([18, 21.6, 18.6])
    assert habits.cut_cm3 == pytest.approx([18])
    assert (habits.known, habits.absent, habits.parts, habits.cut) == (5, 1, 1, 1)
    assert habits.range_cm3 == (9.0, 43.0)
    assert habits.several_parts  # in one of four that show it
    assert not habits.reaches_out


def test_what_always_reaches_out_has_the_volumes_that_are_shown():
    habits = Habits()
    habits.see(block((0, 6), (0, 10), (0, 10)), grid_of(SHAPE))
    assert habits.reaches_out
    assert habits.range_cm3 == (3.6, 14.0)  # 600 voxels of 12 mm3


def test_a_structure_counts_where_it_is_known():
    cases = [case_of(1, {"Bladder": block((1, 4), (3, 9), (4, 10))}), case_of(2, {})]
    found = habits_of(cases, ["Bladder", "Rectum"])
    assert found["Bladder"].known == 1
    assert found["Rectum"] == Habits()
    assert found["Rectum"].range_cm3 == (0.0, 20_000.0)
