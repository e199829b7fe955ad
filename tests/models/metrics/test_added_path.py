"""Outline pixels that were drawn anew, on squares whose outlines a person can count."""

from __future__ import annotations

import numpy as np
import pytest

from models.metrics import added_path_mm
from service.dicom.patient_grids import patient_grid


def square(first_row: int, first_column: int, side: int = 6, on: slice = slice(0, 2)) -> np.ndarray:
    mask = np.zeros((3, 20, 20), dtype=bool)
    mask[on, first_row : first_row + side, first_column : first_column + side] = True
    return mask


GRID = patient_grid("HFS", shape_zyx=(3, 20, 20), spacing_zyx_mm=(3.0, 2.0, 2.0))


@pytest.mark.parametrize(
    ("truth", "answer", "pixels"),
    [
        (square(5, 5), square(5, 5), [0, 0, 0]),
        # A square of 6 has an outline of 20 pixels. Shifted by 1 column, its top and bottom share 5 of 6 each,
        # its left side none, its right side none but the corners that lie on top and bottom: 20 - 2 * 5.
        (square(5, 6), square(5, 5), [10, 10, 0]),
        (square(5, 5, on=slice(0, 3)), square(5, 5), [0, 0, 20]),  # a slice drawn anew
        (square(5, 5, on=slice(0, 1)), square(5, 5), [0, 0, 0]),  # one taken away costs nothing
        (square(6, 6, side=4), square(5, 5), [12, 12, 0]),  # the outline one pixel farther in: all of it new
    ],
)
def test_pixels_of_the_outline_that_were_not_there_are_counted(truth, answer, pixels):
    assert added_path_mm(truth, answer, GRID).tolist() == [2.0 * each for each in pixels]


def test_pixels_that_are_not_square_count_the_root_of_their_area():
    grid = patient_grid("HFS", shape_zyx=(3, 20, 20), spacing_zyx_mm=(3.0, 4.0, 1.0))
    assert added_path_mm(square(5, 6), square(5, 5), grid).tolist() == [20.0, 20.0, 0.0]
