"""Stacks whose order, holes and faults can be worked out on paper."""

from __future__ import annotations

import numpy as np
import pytest

from service.dicom.slice_geometry import StackGeometry, analyse, most_common_orientation

HFS = (1, 0, 0, 0, 1, 0)


def stack(offsets, orientation=HFS, direction=(0, 0, 1), start=(-250.0, -250.0, -400.0)) -> StackGeometry:
    offsets = np.asarray(offsets, dtype=float)
    positions = np.asarray(start) + offsets[:, None] * np.asarray(direction, dtype=float)
    return analyse(positions, np.tile(orientation, (len(offsets), 1)))


def steps(*gaps) -> list[float]:
    return [0.0, *np.cumsum(gaps)]


def code(geometry: StackGeometry) -> str | None:
    return geometry.refusal and geometry.refusal[0]


def test_an_even_stack_is_accepted_and_not_flagged():
    g = stack(np.arange(12) * 3)
    assert (g.refusal, g.gaps, g.ends, g.duplicates, g.non_uniform) == (None, (), (), (), False)
    assert g.spacing_mm == pytest.approx(3)
    assert g.normal.tolist() == [0, 0, 1]


def test_shuffled_slices_come_back_in_ascending_order():
    offsets = np.array([9.0, 0, 6, 3, 12])
    g = stack(offsets)
    assert g.order.tolist() == [1, 3, 2, 0, 4]
    assert g.offsets_mm.tolist() == [0, 3, 6, 9, 12]


def test_feet_first_slices_ascend_towards_the_feet():
    g = stack(np.arange(4) * 3, orientation=(-1, 0, 0, 0, 1, 0))
    assert g.normal.tolist() == [0, 0, -1]
    assert g.order.tolist() == [3, 2, 1, 0]


def test_three_three_six_three_is_a_hole_whose_place_and_size_are_told():
    g = stack(steps(3, 3, 6, 3))
    assert code(g) == "series.hole"
    (gap,) = g.gaps
    assert (gap.after, gap.from_mm, gap.to_mm, gap.missing) == (2, -394, -388, 1)
    assert "1 slice is missing: 1 between z = -394.0 and -388.0 mm" in g.refusal[1]


def test_a_hole_of_three_slices_counts_three():
    g = stack(steps(3, 3, 3, 12, 3, 3, 3))
    assert g.missing == 3
    assert "3 slices are missing" in g.refusal[1]


def test_every_hole_is_told():
    g = stack(np.delete(np.arange(40) * 3.0, [10, 20, 21]))
    assert [gap.missing for gap in g.gaps] == [1, 2]


def test_more_than_three_holes_are_counted_not_listed():
    g = stack(np.delete(np.arange(60) * 3.0, [10, 20, 30, 40, 50]))
    assert "5 slices are missing" in g.refusal[1]
    assert "2 other places" in g.refusal[1]


def test_a_hole_in_feet_first_order_is_told_by_patient_z():
    g = stack(steps(3, 3, 3, 6, 3, 3, 3), orientation=(-1, 0, 0, 0, 1, 0))
    assert (g.gaps[0].from_mm, g.gaps[0].to_mm) == (-385, -391)


def test_a_hole_in_a_sagittal_stack_is_told_along_the_stack():
    g = stack(steps(3, 3, 3, 6, 3, 3, 3), orientation=(0, 1, 0, 0, 0, -1), direction=(-1, 0, 0))
    assert (g.gaps[0].from_mm, g.gaps[0].to_mm) == (9, 15)
    assert "distance along the stack = 9.0" in g.refusal[1]


def test_alternate_slices_missing_twice_are_holes_not_a_new_spacing():
    assert stack(steps(3, 3, 3, 6, 6, 3, 3, 3)).missing == 2


def test_blocks_of_two_and_a_half_then_five_millimetres_are_accepted_and_flagged():
    g = stack(steps(*[2.5] * 6, *[5] * 4))
    assert g.refusal is None
    assert g.non_uniform


def test_a_spacing_of_three_gaps_on_both_sides_is_non_uniform_even_when_it_doubles():
    g = stack(steps(3, 3, 3, 6, 6, 6, 3, 3, 3))
    assert g.refusal is None
    assert g.non_uniform


def test_a_spacing_that_lasts_two_gaps_only_is_refused():
    assert code(stack(steps(2.5, 2.5, 2.5, 2.5, 4, 4))) == "series.spacing-irregular"


def test_one_gap_that_is_no_whole_multiple_is_refused_with_its_place():
    g = stack(steps(3, 3, 3, 4.5, 3, 3, 3))
    assert code(g) == "series.spacing-irregular"
    assert "4.50 mm at z = -391.0 mm" in g.refusal[1]


def test_a_transitional_gap_between_two_blocks_is_refused():
    assert code(stack(steps(2.5, 2.5, 2.5, 3.75, 5, 5, 5))) == "series.spacing-irregular"


@pytest.mark.parametrize("seed", range(5))
def test_positions_off_by_a_tenth_of_a_millimetre_at_most_are_jitter(seed):
    jitter = np.random.default_rng(seed).uniform(-0.1, 0.1, 40)
    g = stack(np.arange(40) * 3 + jitter)
    assert g.refusal is None
    assert not g.non_uniform


def test_one_slice_off_by_three_tenths_is_refused():
    assert code(stack([0, 3, 6, 9.3, 12, 15, 18])) == "series.spacing-irregular"


@pytest.mark.parametrize("spacing", [0.2, 0.3, 0.5, 1.0])
def test_a_hole_never_passes_for_jitter_at_small_spacings(spacing):
    assert code(stack(np.delete(np.arange(30) * spacing, 12))) == "series.hole"


@pytest.mark.parametrize("seed", range(5))
def test_a_hole_is_found_among_jitter(seed):
    jitter = np.random.default_rng(seed).uniform(-0.1, 0.1, 40)
    g = stack(np.delete(np.arange(40) * 3 + jitter, 17))
    assert [(gap.after, gap.missing) for gap in g.gaps] == [(16, 1)]


@pytest.mark.parametrize("gaps", [(6, 3, 3, 3, 3), (3, 3, 3, 3, 6)])
def test_an_end_that_stands_off_twice_the_spacing_is_flagged_not_refused(gaps):
    g = stack(steps(*gaps))
    assert g.refusal is None
    assert g.non_uniform
    assert len(g.ends) == 1


def test_an_end_that_stands_off_further_is_a_hole():
    assert stack(steps(3, 3, 3, 3, 9)).missing == 2


def test_an_end_of_a_stack_too_short_to_know_its_spacing_is_a_hole():
    assert code(stack(steps(3, 3, 6))) == "series.hole"


def test_a_small_change_of_spacing_is_not_called_jitter():
    assert stack(steps(*[3.0] * 12, *[3.2] * 12)).non_uniform


def test_slices_on_one_position_are_grouped_and_left_for_the_pixels_to_decide():
    g = stack([0, 3, 6, 6, 9, 12])
    assert g.duplicates == ((2, 3),)
    assert g.refusal is None


def test_two_phases_are_a_duplicate_at_every_position():
    g = stack(np.repeat(np.arange(6) * 3.0, 2))
    assert len(g.duplicates) == 6
    assert g.refusal is None


def test_a_hole_is_placed_right_beside_a_duplicate():
    g = stack([0, 3, 3, 6, 9, 15, 18, 21, 24])
    assert g.gaps[0].after == 4


def tilted(degrees: float, slices: int = 12) -> StackGeometry:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return stack(np.arange(slices) * 3, orientation=(1, 0, 0, 0, c, -s))


@pytest.mark.parametrize("degrees", [0.11, 0.5, 2.5, 10, -10, 30])
def test_a_tilted_gantry_is_refused_beyond_a_tenth_of_a_degree(degrees):
    g = tilted(degrees)
    assert code(g) == "series.gantry-tilt"
    assert f"{abs(degrees):.2f} degrees" in g.refusal[1]


@pytest.mark.parametrize("degrees", [0.0, 0.05, 0.09])
def test_a_tilt_of_less_than_a_tenth_of_a_degree_is_accepted(degrees):
    assert tilted(degrees).refusal is None


def test_an_oblique_stack_along_its_own_normal_is_no_tilt():
    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))
    assert stack(np.arange(12) * 3, orientation=(1, 0, 0, 0, c, -s), direction=(0, s, c)).refusal is None


@pytest.mark.parametrize("shifted", [slice(4, 5), slice(6, None)])
def test_slices_shifted_sideways_are_refused(shifted):
    positions = np.array([-250.0, -250, 0]) + np.arange(12)[:, None] * [0, 0, 3.0]
    positions[shifted, 0] += 5
    assert code(analyse(positions, np.tile(HFS, (12, 1)))) == "series.slice-shifted"


def test_slices_of_another_orientation_are_counted_and_refused():
    orientations = np.tile(HFS, (12, 1)).astype(float)
    orientations[3] = (0, 1, 0, 0, 0, -1)
    g = analyse(np.arange(12)[:, None] * [0, 0, 3.0], orientations)
    assert code(g) == "series.orientation-mixed"
    assert "1 of 12" in g.refusal[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_a_position_that_is_no_position_is_refused(value):
    positions = np.arange(12)[:, None] * [0, 0, 3.0]
    positions[4, 2] = value
    assert code(analyse(positions, np.tile(HFS, (12, 1)))) == "series.position-invalid"


@pytest.mark.parametrize("cosines", [(np.nan,) * 6, (0,) * 6, (2, 0, 0, 0, 1, 0), (1, 0, 0, 1, 0, 0)])
def test_an_orientation_that_is_none_is_refused(cosines):
    assert code(stack(np.arange(5) * 3, orientation=cosines)) == "series.orientation-invalid"


def test_no_slice_at_all_is_refused():
    assert code(analyse(np.zeros((0, 3)), np.zeros((0, 6)))) == "series.no-slices"


def test_one_slice_has_no_spacing_and_none_is_invented():
    assert np.isnan(stack([0]).spacing_mm)


def test_positions_and_orientations_must_go_together():
    with pytest.raises(ValueError, match="2 positions"):
        analyse(np.zeros((2, 3)), np.zeros((1, 6)))


def test_the_orientation_that_most_share_leaves_out_the_localizer_and_nan():
    orientations = np.tile(HFS, (5, 1)).astype(float)
    orientations[1] = (1, 0, 0, 0, 0, -1)
    orientations[2] = np.nan
    assert most_common_orientation(orientations).tolist() == [True, False, False, True, True]
