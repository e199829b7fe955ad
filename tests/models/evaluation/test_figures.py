import pytest
from evaluation_cases import BLADDER, NOTHING, box, grid

from models.evaluation.figures import NAMES, OVERLAPS, background_figures, figures

MOVED = box((1, 3), (1, 2), (2, 6))


def test_a_bladder_that_is_two_columns_off():
    found = figures(BLADDER, MOVED, grid(), 1.0)
    assert found.found == "both"
    assert tuple(found.values) == NAMES
    assert (found.truth_cm3, found.answer_cm3) == (pytest.approx(0.048), pytest.approx(0.048))
    expected = {
        "DSC": 0.5,
        "JSC": 1 / 3,
        "DSC_slices": 0.5,
        "HD_mm": 2.0,
        "HD95_mm": 2.0,  # of 16 distances: eight of 0, four of 1, four of 2
        "HD95_larger_mm": 2.0,
        "HD95_slices_mm": 2.0,
        "ASSD_mm": 0.75,
        "ASD_mm": 0.75,
        "MSD_mm": 0.75,
        "HD95_px": 2.0,
        "ASD_px": 0.75,
        "volume_difference_cm3": 0.0,
        "volume_difference_percent": 0.0,
    }
    for name, value in expected.items():
        assert found.values[name] == pytest.approx(value), name
    assert found.slice_dsc == (0.5, 0.5)
    assert found.slice_hd95_mm == pytest.approx((2.0, 2.0))


def test_steps_count_as_one_however_far_apart_the_voxels_are():
    up = box((2, 4), (1, 2), (0, 4))  # the bladder a slice higher: 3 mm, one step
    found = figures(BLADDER, up, grid(), 1.0).values
    assert (found["HD_mm"], found["HD95_px"]) == (3.0, 1.0)
    assert found["ASD_mm"] == pytest.approx(3 * found["ASD_px"])


def test_the_tolerance_is_that_of_the_surface_metrics():
    strict, lenient = (figures(BLADDER, MOVED, grid(), tolerance).values for tolerance in (0.5, 2.0))
    assert lenient["SD"] == lenient["SO"] == lenient["SO_truth"] == 1.0
    assert strict["SD"] < 1.0
    assert strict["DSC"] == lenient["DSC"]


@pytest.mark.parametrize(
    ("truth", "answer", "state", "percent"),
    [(BLADDER, NOTHING, "missed", -100.0), (NOTHING, BLADDER, "invented", None)],
)
def test_missed_or_invented_is_an_overlap_of_nothing_and_no_distance(truth, answer, state, percent):
    found = figures(truth, answer, grid(), 2.0)
    assert found.found == state
    assert [found.values[name] for name in OVERLAPS] == [0.0] * 6
    assert not [
        name for name in found.values if name.endswith(("_px",)) or name.startswith(("HD", "A", "MSD"))
    ]
    assert found.values.get("volume_difference_percent") == percent
    assert found.slice_dsc == (0.0, 0.0)
    assert found.slice_hd95_mm == ()


def test_absent_and_not_contoured_is_no_figure_at_all():
    found = figures(NOTHING, NOTHING, grid(), 2.0)
    assert (found.found, dict(found.values), found.truth_cm3) == ("absent", {}, 0.0)


def test_both_are_there_but_never_in_one_slice():
    found = figures(box((0, 1), (0, 1), (0, 1)), box((2, 3), (0, 1), (0, 1)), grid(), 2.0)
    assert found.found == "both"
    assert found.values["DSC_slices"] == 0.0
    assert "HD95_slices_mm" not in found.values
    assert found.values["HD_mm"] == 6.0


def test_background_is_all_the_rest_and_has_no_border_at_the_volumes_end():
    found = background_figures(BLADDER, MOVED, grid())
    assert found["DSC"] == pytest.approx(2 * (480 - 12) / (2 * 472))
    # The voxels that touch the truth's box: eight are 2 mm from one that touches the answer's, six 1 mm, twelve 0.
    assert found["HD95_mm"] == pytest.approx(2.0)
    assert "HD95_mm" not in background_figures(BLADDER, NOTHING, grid())


def test_an_answer_that_leaves_no_background_is_at_no_distance_from_it():
    assert background_figures(BLADDER, ~NOTHING, grid()) == {"DSC": 0.0}


def test_without_surfaces_there_are_overlaps_and_volumes_alone():
    found = figures(BLADDER, MOVED, grid(), 2.0, surfaces=False)
    whole = figures(BLADDER, MOVED, grid(), 2.0)
    assert list(found.values) == [
        "DSC",
        "JSC",
        "DSC_slices",
        "volume_difference_cm3",
        "volume_difference_percent",
    ]
    assert all(whole.values[name] == value for name, value in found.values.items())
    assert "HD95_mm" not in background_figures(BLADDER, MOVED, grid(), surfaces=False)
