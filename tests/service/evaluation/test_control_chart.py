"""Limits, outliers and the moving average of ranks, by values that can be worked out on paper."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from simulation.__main__ import run_lengths, told_at

from service.evaluation.charted import CHARTED
from service.evaluation.control_chart import Smoothing, chart, limits_of, score

DSC, HD95 = CHARTED["dsc"], CHARTED["hd95_mm"]


def test_the_limit_of_single_cases_is_three_sigmas_of_the_bad_sides_quartile():
    # 0.80, 0.82 ... 0.96: median 0.88, quartiles 0.84 and 0.92, so the limit is 0.88 - 3 * 0.04 / 0.6745.
    limits = limits_of([0.80 + 0.02 * k for k in range(9)], DSC)
    assert limits.center == pytest.approx(0.88)
    assert limits.quartiles == pytest.approx((0.84, 0.92))
    assert limits.limit == pytest.approx(0.88 - 3 * 0.04 / 0.67449, abs=1e-5)
    # The same of distances lies above: median 5, third quartile 7.
    assert limits_of(list(range(1, 10)), HD95).limit == pytest.approx(5 + 3 * 2 / 0.67449, abs=1e-4)


def test_where_most_is_untouched_the_worst_case_of_commissioning_is_the_limit():
    limits = limits_of([1.0] * 9 + [0.9], DSC)
    assert (limits.center, limits.limit) == (1.0, 0.9)


def test_no_limit_is_impossible():
    assert limits_of([0.1, 0.2, 0.9, 0.9, 0.9], DSC).limit == 0.0


def test_a_score_is_the_rank_among_the_commissioning_with_ties_halved():
    limits = limits_of([0.7, 0.8, 0.8, 0.9], DSC)
    z = NormalDist().inv_cdf
    assert score(0.6, limits, DSC) == pytest.approx(z(0.5 / 5))
    assert score(0.8, limits, DSC) == pytest.approx(z(2.5 / 5)) == 0.0  # one below, two alike
    assert score(0.95, limits, DSC) == pytest.approx(z(4.5 / 5))
    assert score(0.6, limits_of([0.7, 0.8, 0.8, 0.9], HD95), HD95) > 0  # of a distance less is better
    untouched = limits_of([1.0] * 10, DSC)
    assert score(1.0, untouched, DSC) == 0.0


def test_the_average_falls_by_a_known_law_and_signals_where_it_crosses_its_limit():
    base = [0.80 + 0.01 * k for k in range(20)]
    values = [(float(t), v) for t, v in enumerate([*base, *[0.5] * 10])]
    limits, points = chart(values, [True] * 20 + [False] * 10, DSC, Smoothing(0.1, 3.0))
    assert limits is not None
    assert limits.n == 20
    assert all(point.average is None and not point.signals for point in points[:20])
    worst = NormalDist().inv_cdf(0.5 / 21)
    for k, point in enumerate(points[20:], start=1):
        settled = 1 - 0.9 ** (2 * k)
        assert point.average == pytest.approx(worst * (1 - 0.9**k))
        assert point.lower == pytest.approx(-3 * math.sqrt(0.1 / 1.9 * settled + 1 / 20))
        assert point.is_outlier
    # -1.98 (1 - 0.9^k) against -3 sqrt(0.0526 (1 - 0.9^2k) + 0.05): the sixth case is the first beyond it.
    assert [point.signals for point in points[20:]].index(True) == 5


def test_a_single_case_however_bad_is_an_outlier_and_no_drift():
    base = [0.80 + 0.01 * k for k in range(30)]
    values = [(float(t), v) for t, v in enumerate([*base, 0.9, 0.0, 0.9])]
    _, points = chart(values, [True] * 30 + [False] * 3, DSC, Smoothing())
    assert [point.is_outlier for point in points[30:]] == [False, True, False]
    assert not any(point.signals for point in points)


def test_the_average_begins_anew_after_somebody_dealt_with_a_drift():
    base = [0.80 + 0.01 * k for k in range(20)]
    values = [(float(t), v) for t, v in enumerate([*base, *[0.5] * 12])]
    _, points = chart(values, [True] * 20 + [False] * 12, DSC, Smoothing(), restarts=[28.0])
    signalling = [number for number, point in enumerate(points) if point.signals]
    assert signalling == [25, 26, 27]  # six cases after the commissioning; from 28 on four are too few
    assert points[28].average == pytest.approx(points[20].average)


def test_without_commissioning_there_are_values_and_nothing_else():
    limits, points = chart([(0.0, 0.9)], [False], DSC, Smoothing())
    assert limits is None
    assert (points[0].value, points[0].average, points[0].is_outlier) == (0.9, None, False)


@pytest.mark.parametrize("skewed", [False, True])
def test_what_the_documentation_says_of_false_alarms_is_drawn_by_what_the_charts_do(skewed):
    rng = np.random.default_rng(7)
    drawn = rng.normal(size=(60, 90)) - np.repeat([0.0, 1.0, 2.0], 20)[:, None] * (np.arange(90) >= 30)
    told = told_at(drawn[:, :30], drawn[:, 30:], Smoothing())
    assert (told <= 60).any()
    assert (told > 60).any()
    for row, expected in zip(drawn, told, strict=True):
        dsc = 1 - np.exp(-row - 5) if skewed else 0.9 + 0.01 * row  # the ranks are the same
        values = [(float(t), float(v)) for t, v in enumerate(dsc)]
        _, points = chart(values, [t < 30 for t in range(90)], DSC, Smoothing())
        signals = [k for k, point in enumerate(points[30:], start=1) if point.signals]
        assert (signals[0] if signals else 61) == expected


def test_false_alarms_are_as_rare_as_the_documentation_says():
    # 2.4 % within 100 cases after a commissioning of 30: of 1000 charts 24, and more than 45 once in 30 000 times
    alarms = run_lengths(30, Smoothing(), 0.0, 1000, np.random.default_rng(3)) <= 100
    assert 8 <= alarms.sum() <= 45
