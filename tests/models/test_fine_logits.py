import numpy as np
import pytest
import torch

from models import fine_logits
from models.fine_logits import FineLogits

ONE = np.eye(1)


@pytest.fixture(params=[1, 2, 1000], ids=["each slice", "two slices", "all at once"])
def slabs(request, monkeypatch):
    """However many slices are made at one time."""
    monkeypatch.setattr(fine_logits, "_SLAB_NUMBERS", request.param * 2)


def fields(values, along, outputs=(0, 1), **how):
    """Values and corner of each output; ``values`` ``(outputs, slices)`` of one row and column."""
    logits = torch.tensor(values, dtype=torch.float32)[:, :, None, None]
    found = FineLogits(logits, (along, ONE, ONE), lambda slab: slab, **how).fields(outputs)
    return [None if one is None else (one[0].ravel().tolist(), one[1]) for one in found]


def test_a_field_is_the_margin_over_the_best_of_the_others_in_a_box_with_a_rim(slabs):
    values = [[-1, 2, 3, -20], [1, -1, -1, -1], [0, 0, 0, -9]]
    assert fields(values, np.eye(4), (0, 1, 2)) == [
        ([-2, 2, 3, -9.199999809265137], [0, 0, 0]),
        ([1, -3, -4, 8], [0, 0, 0]),
        None,
    ]


def test_outputs_apart_are_where_they_are_above_nought(slabs):
    values = [[-1, 2, 3, -4, -4], [1, -1, -1, -1, -1]]
    assert fields(values, np.eye(5), apart=True) == [([-1, 2, 3, -4], [0, 0, 0]), ([1, -1], [0, 0, 0])]


def test_slices_between_are_interpolated_and_beyond_what_was_cut_off_there_is_the_first_output(slabs):
    along = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.0, 0.0]])
    assert fields([[0, 0], [2, 4]], along, (1,)) == [([0, 2, 3, 4, 0], [0, 0, 0])]
