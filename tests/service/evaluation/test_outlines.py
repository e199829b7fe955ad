"""When two drawings of a slice are one outline."""

from __future__ import annotations

import time

import numpy as np
import pytest

from service.evaluation.outlines import MOST_VERTICES, same_outline

SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
HOLE = np.array([[4.0, 4.0], [6.0, 4.0], [6.0, 6.0], [4.0, 6.0]])


def circle(count: int, radius: float = 50.0) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize(
    ("one", "other", "within_mm", "same"),
    [
        ([SQUARE], [SQUARE], 0.1, True),
        ([SQUARE], [SQUARE[::-1]], 0.1, True),
        ([SQUARE], [SQUARE + 0.05], 0.1, True),
        ([SQUARE], [SQUARE + np.array([0.2, 0.0])], 0.1, False),
        ([SQUARE], [SQUARE + np.array([0.1, 0.0])], 0.1, True),  # as far as allowed
        ([SQUARE], [SQUARE[[0, 1, 3]]], 0.1, False),  # half of it
        ([SQUARE], [np.insert(SQUARE, 1, [5.0, 3.0], axis=0)], 0.1, False),  # a dent
        ([SQUARE, HOLE], [HOLE, SQUARE], 0.1, True),
        ([SQUARE, HOLE], [SQUARE], 0.1, False),  # the hole was filled
        ([SQUARE], [SQUARE, HOLE], 0.1, False),  # one was cut
        # A keyhole: along the top to the hole and back, against the two outlines apart.
        (
            [np.array([*SQUARE, [0.0, 0.0], [4.0, 4.0], *HOLE[::-1][:3], [4.0, 4.0]])],
            [SQUARE, HOLE],
            0.1,
            True,
        ),
        # A circle of 50 mm by 100 and by 200 points: the longer sides lie 50 (1 - cos(pi / 100)) = 0.025 mm in.
        ([circle(100)], [circle(200)], 0.03, True),
        ([circle(100)], [circle(200)], 0.02, False),
    ],
)
def test_vertices_may_differ_and_the_line_may_not(one, other, within_mm, same):
    assert same_outline(one, other, within_mm) is same
    assert same_outline(other, one, within_mm) is same


def test_an_absurd_number_of_vertices_is_compared_one_by_one_at_most():
    many = circle(MOST_VERTICES)
    begun = time.process_time()
    assert same_outline([many], [many], 0.1)
    assert not same_outline([many], [np.roll(many, 7, axis=0)], 0.001)
    assert time.process_time() - begun < 5
