"""Weighted kappa by hand, and its standard error by another way: derivatives in every cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from reviewed_structures import reviewed

from service.backlog.review_records import GRADES
from service.evaluation.agreement import agreement_of, weighted_kappa


def test_two_grades_by_hand():
    # 35 of 50 the same: 0.7; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5; kappa (0.7 - 0.5) / (1 - 0.5).
    kappa, _ = weighted_kappa(np.array([[20, 5], [10, 15]]))
    assert kappa == pytest.approx(0.4)


def test_steps_count_by_their_square():
    # Three grades, one each on the diagonal and one apart by a step: weights 1, 3/4, 0.
    counts = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    observed = (3 + 0.75) / 4
    rows, columns = np.array([2, 1, 1]) / 4, np.array([1, 2, 1]) / 4
    weights = np.array([[1, 0.75, 0], [0.75, 1, 0.75], [0, 0.75, 1]])
    chance = sum(weights[i, j] * rows[i] * columns[j] for i in range(3) for j in range(3))
    assert weighted_kappa(counts)[0] == pytest.approx((observed - chance) / (1 - chance))


def test_the_standard_error_is_that_of_the_delta_method():
    counts = np.array([[30, 6, 1, 0], [4, 22, 5, 1], [1, 3, 14, 2], [0, 1, 2, 8]])
    n, p = counts.sum(), counts / counts.sum()

    def kappa_of(shares: np.ndarray) -> float:
        weights = np.array([[1 - (i - j) ** 2 / 9 for j in range(4)] for i in range(4)])
        observed = (weights * shares).sum() / shares.sum()
        chance = shares.sum(1) @ weights @ shares.sum(0) / shares.sum() ** 2
        return (observed - chance) / (1 - chance)

    slope = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            step = np.zeros((4, 4))
            step[i, j] = 1e-6
            slope[i, j] = (kappa_of(p + step) - kappa_of(p - step)) / 2e-6
    variance = ((p * slope**2).sum() - (p * slope).sum() ** 2) / n
    kappa, error = weighted_kappa(counts)
    assert kappa == pytest.approx(kappa_of(p))
    assert error == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_a_table_has_estimates_by_rows_and_leaves_out_what_one_of_both_did_not_grade():
    pairs = [("acceptable", "acceptable"), ("acceptable", "major"), ("minor", None), (None, "minor")]
    found = agreement_of(
        reviewed(id=k, estimated_grade=one, reader_grade=other) for k, (one, other) in enumerate(pairs)
    )
    assert found.counts[0] == (1, 0, 1, 0)
    assert (found.n, found.same, found.too_kind) == (2, 1, 1)
    assert len(found.counts) == len(GRADES)


def test_perfect_agreement_is_one_and_one_grade_alone_says_nothing():
    both = [reviewed(id=k, estimated_grade=g, reader_grade=g) for k, g in enumerate(GRADES)]
    assert (agreement_of(both).kappa, agreement_of(both).interval) == (1.0, (1.0, 1.0))
    one = agreement_of(both[:1] * 5)
    assert (one.n, one.kappa, one.interval) == (5, None, None)
    assert agreement_of([]).kappa is None
