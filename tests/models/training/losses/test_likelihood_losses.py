"""Each loss on logits whose probabilities are simple fractions: a logit of log(k) weighs k."""

import math

import pytest
import torch

from models.training.losses.likelihood_losses import (
    binary_cross_entropy,
    cross_entropy,
    marginal_likelihood,
    symmetric_cross_entropy,
    weighted_binary_cross_entropy,
    weighted_cross_entropy,
)
from models.training.losses.target import Target
from models.training.recipes.recipe_book import RecipeInvalid

LN = math.log


def pixels(*samples: list[list[float]]) -> torch.Tensor:
    """Samples of channels of pixels in one row: ``(n, channels, 1, pixels)``."""
    return torch.tensor(samples)[:, :, None]


def target(*samples: list[list[float]], known: list[list[bool]]) -> Target:
    return Target(pixels(*samples) > 0, torch.tensor(known))


def of_shares(*samples: list[list[float]]) -> torch.Tensor:
    """Logits of the shares of channels: log of what each weighs."""
    return pixels(*samples).log()


THIRDS = of_shares([[1.0, 2.0], [1.0, 1.0], [1.0, 1.0]])
"""Background and two structures in two pixels: thirds in the first; a half and two quarters in the second."""


def test_binary_cross_entropy_by_hand():
    logits = pixels([[LN(3), LN(3)]])  # probability 3/4 in both pixels, one of them inside
    found = binary_cross_entropy(logits, target([[1, 0]], known=[[True]]))
    assert float(found) == pytest.approx(-(LN(3 / 4) + LN(1 / 4)) / 2)


def test_weighted_binary_cross_entropy_is_equation_2_of_liu_z_by_hand():
    logits = pixels([[0.0, 0.0], [LN(3), LN(3)]])
    truth = target([[1, 0], [1, 1]], known=[[True, True]])
    found = weighted_binary_cross_entropy(logits, truth, weights=[1.0, 5.0])
    l_1, l_2 = -LN(1 / 2), -5 * LN(3 / 4)
    assert float(found) == pytest.approx((l_1 + l_2) / 2)


def test_weights_of_one_are_the_plain_loss():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    truth = Target(logits > 0.3, torch.tensor([[True, True, False], [True, False, True]]))
    weighted = weighted_binary_cross_entropy(logits, truth, weights=[1.0, 1.0, 1.0])
    assert float(weighted) == pytest.approx(float(binary_cross_entropy(logits, truth)))


def test_under_sigmoid_an_unknown_structure_is_left_out_of_the_mean():
    logits = pixels([[0.0, 0.0], [LN(3), LN(3)]], [[LN(3), LN(3)], [0.0, 0.0]])
    truth = target([[1, 0], [1, 1]], [[1, 1], [1, 1]], known=[[True, False], [True, False]])
    assert float(binary_cross_entropy(logits, truth)) == pytest.approx(-(LN(1 / 2) + LN(3 / 4)) / 2)


def test_cross_entropy_by_hand():
    truth = target(
        [[1, 0], [0, 0]], known=[[True, True]]
    )  # a third of the first structure, half of background
    assert float(cross_entropy(THIRDS, truth)) == pytest.approx(-(LN(1 / 3) + LN(1 / 2)) / 2)


def test_cross_entropy_leaves_an_unknown_structure_out_of_the_softmax():
    truth = target([[1, 0], [0, 0]], known=[[True, False]])  # 1 of 1 + 1, and 2 of 2 + 1
    assert float(cross_entropy(THIRDS, truth)) == pytest.approx(-(LN(1 / 2) + LN(2 / 3)) / 2)


def test_weighted_cross_entropy_by_hand():
    truth = target([[1, 0], [0, 0]], known=[[True, True]])
    found = weighted_cross_entropy(THIRDS, truth, weights=[1.0, 3.0, 7.0])
    assert float(found) == pytest.approx(-(3 * LN(1 / 3) + 1 * LN(1 / 2)) / (3 + 1))


def test_symmetric_cross_entropy_by_hand():
    truth = target([[1, 0], [0, 0]], known=[[True, True]])
    found = symmetric_cross_entropy(THIRDS, truth, alpha=0.5, beta=2.0, log_zero=-3.0)
    reverse = 3 * ((1 - 1 / 3) + (1 - 1 / 2)) / 2
    assert float(found) == pytest.approx(0.5 * -(LN(1 / 3) + LN(1 / 2)) / 2 + 2 * reverse)


def test_marginal_likelihood_by_hand():
    truth = target([[1, 0], [0, 0]], known=[[True, False]])  # the second structure is background's: 1/2 + 1/4
    assert float(marginal_likelihood(THIRDS, truth)) == pytest.approx(-(LN(1 / 3) + LN(3 / 4)) / 2)


def test_predicting_a_missing_organ_costs_exactly_what_background_costs():
    truth = target([[0], [1]], known=[[False, True]])
    nothing = target([[0], [0]], known=[[False, True]])
    as_background = pixels([[2.0], [-1.0], [0.5]])
    as_the_missing_organ = pixels([[-1.0], [2.0], [0.5]])
    for each in (truth, nothing):
        assert float(marginal_likelihood(as_background, each)) == pytest.approx(
            float(marginal_likelihood(as_the_missing_organ, each)), abs=1e-7
        )


def test_predicting_an_organ_known_to_be_absent_costs_more_than_background():
    absent = target([[0], [0]], known=[[True, True]])
    as_background, as_the_absent_organ = pixels([[2.0], [-1.0], [0.5]]), pixels([[-1.0], [2.0], [0.5]])
    assert float(marginal_likelihood(as_the_absent_organ, absent)) == pytest.approx(
        float(marginal_likelihood(as_background, absent)) + 3.0, abs=1e-6
    )


def test_a_missing_organ_is_neither_pushed_nor_pulled_against_background():
    """Of the two that are summed, each gets the gradient that its own probability earns."""
    logits = of_shares([[3.0], [1.0], [4.0]]).requires_grad_()
    marginal_likelihood(logits, target([[0], [0]], known=[[False, True]])).backward()
    assert logits.grad is not None
    # -log((3 + 1) / 8): p_k - p_k / (p_0 + p_m) for the merged, p_k for the other
    assert logits.grad.flatten().tolist() == pytest.approx([3 / 8 - 3 / 4, 1 / 8 - 1 / 4, 4 / 8])


def test_with_everything_known_the_marginal_likelihood_is_cross_entropy():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 4, 3, 5, 6, generator=generator)
    truth = Target(torch.rand(2, 3, 3, 5, 6, generator=generator) > 0.7, torch.ones(2, 3, dtype=torch.bool))
    assert float(marginal_likelihood(logits, truth)) == pytest.approx(float(cross_entropy(logits, truth)))


@pytest.mark.parametrize("loss", [weighted_binary_cross_entropy, weighted_cross_entropy])
def test_weights_must_be_as_many_as_outputs(loss):
    truth = target([[1, 0], [0, 0]], known=[[True, True]])
    logits = THIRDS if loss is weighted_cross_entropy else THIRDS[:, 1:]
    with pytest.raises(RecipeInvalid, match="one weight for each output") as refused:
        loss(logits, truth, weights=[1.0])
    assert refused.value.code == "recipe.loss"
