import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.training.losses.overlap_losses import (
    lovasz_extension_of_jaccard,
    lovasz_hinge,
    lovasz_softmax,
    sigmoid_dice,
    softmax_dice,
)
from models.training.losses.target import Target

LN = math.log


def pixels(*samples):
    """Samples of channels of pixels in one row: ``(n, channels, 1, pixels)``."""
    return torch.tensor(samples, dtype=torch.float32)[:, :, None]


def target(*samples, known):
    return Target(pixels(*samples) > 0, torch.tensor(known))


def test_dice_by_hand():
    logits = pixels([[LN(3), LN(3), -LN(3)]])  # 3/4, 3/4, 1/4; inside are the first and the last
    found = sigmoid_dice(logits, target([[1, 0, 1]], known=[[True]]), smooth=1.0)
    assert float(found) == pytest.approx(1 - (2 * 1.0 + 1) / (2 + 1.75 + 1))


def test_dice_of_an_absent_structure_is_free_where_nothing_is_said_and_dear_where_much_is():
    nothing = target([[0] * 100], known=[[True]])
    assert float(sigmoid_dice(pixels([[-40.0] * 100]), nothing)) == pytest.approx(0, abs=1e-6)
    assert float(sigmoid_dice(pixels([[40.0] * 100]), nothing)) == pytest.approx(1 - 1 / 101)


def test_each_sample_and_structure_has_its_own_dice():
    logits = pixels([[40.0, -40.0], [40.0, 40.0]], [[40.0, 40.0], [-40.0, -40.0]])
    truth = target([[1, 0], [0, 0]], [[1, 1], [1, 1]], known=[[True, True], [True, True]])
    expected = ((1 - 1) + (1 - 1 / 3) + (1 - 1) + (1 - 1 / 3)) / 4
    assert float(sigmoid_dice(logits, truth)) == pytest.approx(expected, abs=1e-6)


def test_dice_leaves_an_unknown_structure_out():
    logits = pixels([[40.0, -40.0], [40.0, 40.0]])
    truth = target([[1, 0], [0, 0]], known=[[True, False]])
    assert float(sigmoid_dice(logits, truth)) == pytest.approx(0, abs=1e-6)


def test_dice_under_softmax_by_hand():
    logits = pixels([[1.0, 2.0], [1.0, 1.0], [2.0, 1.0]]).log()  # quarters: 1 1 2 and 2 1 1
    truth = target([[1, 0], [0, 0]], known=[[True, True]])
    first = 1 - (2 * 0.25 + 1) / (1 + 0.5 + 1)
    second = 1 - 1 / (0.75 + 1)
    assert float(softmax_dice(logits, truth)) == pytest.approx((first + second) / 2)
    known = target([[1, 0], [0, 0]], known=[[True, False]])  # halves, and 2/3 with 1/3
    assert float(softmax_dice(logits, known)) == pytest.approx(1 - (2 * 0.5 + 1) / (1 + 0.5 + 1 / 3 + 1))


def jaccard_loss(wrong: set[int], truth: set[int]) -> float:
    """One minus the Jaccard index if exactly the pixels ``wrong`` are answered wrongly."""
    answered = truth ^ wrong
    return 1 - len(truth & answered) / len(truth | answered) if truth | answered else 0.0


def extension_by_levels(errors: list[float], truth: set[int]) -> float:
    """The extension as the integral over t of the set function of the pixels whose error is above t.

    Another definition than that of the code (Lovász 1983): nothing is sorted.
    """
    levels = [0.0, *sorted(set(errors))]
    return sum(
        (high - low) * jaccard_loss({i for i, error in enumerate(errors) if error > low}, truth)
        for low, high in itertools.pairwise(levels)
    )


PIXELS = 6


@given(
    arrays.arrays(np.float64, PIXELS, elements=st.floats(0, 4).map(lambda v: round(v, 2))),
    st.sets(st.integers(0, PIXELS - 1)),
)
def test_the_lovasz_extension_is_the_integral_of_the_jaccard_loss_over_its_level_sets(errors, truth):
    inside = torch.tensor([i in truth for i in range(PIXELS)])
    found = lovasz_extension_of_jaccard(torch.from_numpy(errors), inside)
    assert float(found) == pytest.approx(extension_by_levels(errors.tolist(), truth), abs=1e-9)


@given(st.sets(st.integers(0, PIXELS - 1)), st.sets(st.integers(0, PIXELS - 1)))
def test_on_a_decided_answer_the_lovasz_extension_is_the_jaccard_loss_itself(wrong, truth):
    errors = torch.tensor([float(i in wrong) for i in range(PIXELS)])
    inside = torch.tensor([i in truth for i in range(PIXELS)])
    assert float(lovasz_extension_of_jaccard(errors, inside)) == pytest.approx(jaccard_loss(wrong, truth))


def test_lovasz_softmax_by_hand():
    """Pixels 1, 1, 0 with p_1 = 3/4, 1/4, 1/2: both classes have the errors 1/4, 3/4, 1/2.

    In falling order they are pixels 2, 3 and 1, and the sets that grow by them cost, for class 1, 1/2, 2/3
    and 1, for class 0, 1/2, 1 and 1.
    """
    logits = pixels([[1.0, 3.0, 1.0], [3.0, 1.0, 1.0]]).log()
    class_1 = 3 / 4 * 1 / 2 + 1 / 2 * (2 / 3 - 1 / 2) + 1 / 4 * (1 - 2 / 3)
    class_0 = 3 / 4 * 1 / 2 + 1 / 2 * (1 - 1 / 2) + 1 / 4 * (1 - 1)
    found = lovasz_softmax(logits, target([[1, 1, 0]], known=[[True]]))
    assert float(found) == pytest.approx((class_0 + class_1) / 2)


def test_lovasz_softmax_pools_the_batch_and_leaves_out_where_a_structure_is_unknown():
    """The second sample does not know structure 2: there it is neither said nor counted."""
    rng = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 1, 4, generator=rng)
    truth = target(
        [[1, 0, 0, 0], [0, 1, 1, 0]], [[1, 1, 0, 0], [0, 0, 0, 0]], known=[[True, True], [True, False]]
    )
    full, part = logits[0].softmax(0)[:, 0], logits[1, :2].softmax(0)[:, 0]
    p_0, p_1, p_2 = torch.cat([full[0], part[0]]), torch.cat([full[1], part[1]]), full[2]
    in_0 = [0, 0, 0, 1, 0, 0, 1, 1]
    in_1 = [1, 0, 0, 0, 1, 1, 0, 0]
    in_2 = [0, 1, 1, 0]
    expected = sum(
        extension_by_levels((torch.tensor(inside) - p).abs().tolist(), {i for i, v in enumerate(inside) if v})
        for p, inside in ((p_0, in_0), (p_1, in_1), (p_2, in_2))
    )
    assert float(lovasz_softmax(logits, truth)) == pytest.approx(expected / 3, abs=1e-6)


def test_a_class_that_the_batch_does_not_show_costs_through_background_alone():
    logits = pixels([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]).log()  # a quarter is background
    found = lovasz_softmax(logits, target([[0, 0], [0, 0]], known=[[True, True]]))
    assert float(found) == pytest.approx(3 / 4)


def test_lovasz_hinge_by_hand():
    """Inside, with logit 1/2: error 1/2. Outside, with 1 and -3: errors 2 and 0. Sets cost 1/2, 1."""
    found = lovasz_hinge(pixels([[0.5, 1.0, -3.0]]), target([[1, 0, 0]], known=[[True]]))
    assert float(found) == pytest.approx(2 * 1 / 2 + 1 / 2 * (1 - 1 / 2))


def test_lovasz_hinge_of_an_absent_structure_is_the_error_of_its_worst_pixel():
    truth = target([[0, 0], [0, 0]], known=[[True, False]])
    assert float(lovasz_hinge(pixels([[0.5, -3.0], [9.0, 9.0]]), truth)) == pytest.approx(1.5)
