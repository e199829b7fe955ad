"""From cases to a model, on paper: the cases are those of ``evaluation_cases``."""

import math

import pytest
from evaluation_cases import write_bundle, write_data

from models.evaluation.evaluation import evaluate, setting_of
from models.evaluation.summary import (
    contouring_times,
    counts,
    of_case,
    over_cases,
    over_slices,
    over_structures,
    statistics,
)
from models.predictor import load


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    data, card = write_data(folder / "data"), write_bundle(folder / "bundle")
    return evaluate(load(card, "cpu"), data, setting_of(card, data, "test", 2.0, "cpu"))


def test_statistics_of_four_values():
    found = statistics([1.0, 2.0, 3.0, 6.0])
    assert (found.n, found.mean, found.median, found.minimum, found.maximum) == (4, 3.0, 2.5, 1.0, 6.0)
    assert found.sd == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3))
    assert (found.q1, found.q3) == (1.75, 3.75)


def test_one_value_has_no_spread_and_none_has_nothing():
    assert math.isnan(statistics([1.0]).sd)
    assert statistics([]).n == 0
    assert math.isnan(statistics([]).mean)


def test_over_cases_leaves_out_where_a_metric_is_not_defined(evaluation):
    found = over_cases(evaluation)
    assert (found["Bladder"]["DSC"].n, found["Bladder"]["DSC"].mean) == (2, 0.75)
    assert found["Rectum"]["DSC"].mean == pytest.approx(1 / 3)  # 1, missed, invented
    assert (found["Rectum"]["HD95_mm"].n, found["Rectum"]["HD95_mm"].mean) == (1, 0.0)
    assert found["Sacrum"]["DSC"].n == 0  # absent, rightly
    assert found["Rectum"]["volume_difference_percent"].n == 2


def test_over_slices_puts_all_slices_in_one_heap(evaluation):
    found = over_slices(evaluation)
    assert (found["Bladder"]["DSC_slices"].n, found["Bladder"]["DSC_slices"].mean) == (4, 0.75)
    # Six slices as drawn, six missed, one invented; over cases it is (1 + 0 + 0) / 3.
    assert found["Rectum"]["DSC_slices"].mean == pytest.approx(6 / 13)
    assert found["Rectum"]["HD95_slices_mm"].n == 6


def test_over_structures_without_background_and_with_it(evaluation):
    found = over_structures(evaluation)
    mean = (0.75 + 1 / 3) / 2
    assert found["mDSC"] == pytest.approx(mean)
    assert found["mDSC_background"] == pytest.approx((2 * mean + 2 * 448 / 920) / 3)
    assert found["mHD95_mm"] == pytest.approx((1.0 + 0.0) / 2)  # bladder 2 and 0, rectum 0


def test_liu_x_prints_a_mean_that_counts_background_and_one_that_does_not():
    printed = [0.907, 0.727, 0.827, 0.828]
    assert statistics(printed).mean == pytest.approx(0.82225)
    assert statistics([*printed, 0.99]).mean == pytest.approx(0.856, abs=5e-4)
    assert statistics([2.253, 1.985, 9.588, 4.967]).mean == pytest.approx(4.698, abs=5e-4)


def test_of_a_case_the_mean_over_its_structures(evaluation):
    assert of_case(evaluation.cases[0])["mDSC"] == pytest.approx((0.5 + 1.0) / 2)
    assert of_case(evaluation.cases[2])["mDSC"] == 0.0
    assert math.isnan(of_case(evaluation.cases[2])["mHD95_mm"])


def test_what_was_found_is_counted_in_the_cases_that_were_answered(evaluation):
    assert counts(evaluation) == {
        "Bladder": {"both": 2, "missed": 0, "invented": 0, "absent": 0, "unknown": 1},
        "Rectum": {"both": 1, "missed": 1, "invented": 1, "absent": 0, "unknown": 0},
        "Sacrum": {"both": 0, "missed": 0, "invented": 0, "absent": 1, "unknown": 2},
    }


def test_contouring_time_for_a_ct_a_structure_and_a_slice(evaluation):
    found = contouring_times(evaluation)
    assert found["seconds"].n == 3
    assert found["seconds_per_structure"].mean == pytest.approx(found["seconds"].mean / 3)
    assert found["seconds_per_slice"].mean == pytest.approx(found["seconds"].mean / 6)
