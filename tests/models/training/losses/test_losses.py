import math

import pytest
import torch

from models.training.losses.losses import (
    LOSSES,
    Target,
    batch_dice_loss,
    deeply_supervised_loss,
    loss_named,
    segmentation_loss,
)
from models.training.recipes.recipe_book import RecipeInvalid


def sure(labels: torch.Tensor, classes: int, by: float = 40.0) -> torch.Tensor:
    """Logits that leave no doubt about ``labels``."""
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float() * by


def half_of_each(voxels: int = 4) -> torch.Tensor:
    labels = torch.zeros((1, voxels, voxels, voxels), dtype=torch.int64)
    labels[:, : voxels // 2] = 1
    return labels


def test_a_perfect_answer_costs_nothing():
    labels = half_of_each()
    assert float(segmentation_loss(sure(labels, 2), labels)) == pytest.approx(0, abs=1e-4)


def test_dice_of_an_undecided_network_by_hand():
    labels = (
        half_of_each()
    )  # 32 voxels of class 1 of 64, each given probability 1/2: (2 * 16 + 20) / (32 + 32 + 20)
    assert float(batch_dice_loss(torch.zeros(1, 2, 4, 4, 4), labels)) == pytest.approx(1 - 52 / 84, abs=1e-6)


def test_cross_entropy_of_an_undecided_network_is_the_logarithm_of_the_classes():
    labels = half_of_each()
    cross_entropy = segmentation_loss(torch.zeros(1, 3, 4, 4, 4), labels) - batch_dice_loss(
        torch.zeros(1, 3, 4, 4, 4), labels
    )
    assert float(cross_entropy) == pytest.approx(math.log(3), abs=1e-6)


def test_the_batch_is_pooled_before_the_ratio():
    whole, sliver = half_of_each(), torch.zeros((1, 4, 4, 4), dtype=torch.int64)
    sliver[0, 0, 0, :2] = 1  # two voxels that the network misses
    labels = torch.cat([whole, sliver])
    said = torch.cat([whole, torch.zeros_like(sliver)])
    expected = 1 - (2 * 32 + 20) / (32 + 34 + 20)
    assert float(batch_dice_loss(sure(said, 2), labels)) == pytest.approx(expected, abs=1e-4)


def test_a_class_of_thirty_voxels_or_fewer_is_left_to_cross_entropy():
    labels = torch.zeros((1, 4, 4, 4), dtype=torch.int64)
    labels.view(-1)[:30] = 1
    assert float(batch_dice_loss(torch.zeros(1, 2, 4, 4, 4), labels)) == 1.0
    labels.view(-1)[:31] = 1
    assert float(batch_dice_loss(torch.zeros(1, 2, 4, 4, 4), labels)) < 1.0


def test_the_coarse_head_is_told_every_second_voxel():
    labels = half_of_each(8)
    full, half = sure(labels, 2), sure(labels[:, ::2, ::2, ::2], 2)
    assert float(deeply_supervised_loss(full, half, labels)) == pytest.approx(0, abs=1e-3)
    wrong = sure(1 - labels[:, ::2, ::2, ::2], 2)
    assert float(deeply_supervised_loss(full, wrong, labels, 0.3)) == pytest.approx(
        0.3 * float(segmentation_loss(wrong, labels[:, ::2, ::2, ::2])), abs=1e-3
    )


ARGUMENTS = {
    "weighted-binary-cross-entropy": {"weights": [1.0, 2.0]},
    "weighted-cross-entropy": {"weights": [1.0, 2.0, 3.0]},
}
EVERY = [(name, activation) for name, entry in LOSSES.items() for activation in entry.by_activation]


def random_case(activation: str, size: tuple[int, ...] = (6, 8)) -> tuple[torch.Tensor, Target]:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 3 if activation == "softmax" else 2, *size, generator=generator) * 3
    masks = torch.rand(2, 2, *size, generator=generator) > 0.6
    return logits, Target(masks, torch.tensor([[True, False], [True, True]]))


@pytest.mark.parametrize(("name", "activation"), EVERY)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_gradients_are_finite_in_half_precision_and_at_its_largest_numbers(name, activation, precision):
    loss = loss_named(name, activation, **ARGUMENTS.get(name, {}))
    for scale in (1.0, 2e4):
        logits, target = random_case(activation, (4, 6, 8))
        logits = (logits * scale).clamp(-6e4, 6e4).to(precision).requires_grad_()
        value = loss((logits,), target)
        value.backward()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()
        assert scale > 1 or logits.grad.abs().sum() > 0


@pytest.mark.parametrize(("name", "activation"), EVERY)
def test_an_unknown_structure_contributes_nothing(name, activation):
    """Neither its mask nor, but for the marginal loss, its logits matter in the case where it is unknown."""
    loss = loss_named(name, activation, **ARGUMENTS.get(name, {}))
    logits, target = random_case(activation)
    masks = target.masks.clone()
    masks[0, 1] = ~masks[0, 1]
    logits.requires_grad_()
    value = loss((logits,), target)
    assert torch.equal(value, loss((logits,), Target(masks, target.known)))
    value.backward()
    assert logits.grad is not None
    unknown = logits.grad[0, -1].abs().sum()
    assert (unknown > 0) == (name == "marginal-likelihood")


@pytest.mark.parametrize(("name", "activation"), EVERY)
def test_a_case_in_which_nothing_is_known_costs_a_number(name, activation):
    logits, target = random_case(activation)
    value = loss_named(name, activation, **ARGUMENTS.get(name, {}))(
        (logits.requires_grad_(),), Target(target.masks, torch.zeros(2, 2, dtype=torch.bool))
    )
    value.backward()
    assert torch.isfinite(value)


@pytest.mark.parametrize(("name", "activation"), EVERY)
def test_a_sure_and_right_answer_costs_nothing(name, activation):
    masks = torch.zeros(2, 2, 16, 8, dtype=torch.bool)
    masks[:, 0, :6], masks[:, 1, 10:] = True, True
    target = Target(masks, torch.ones(2, 2, dtype=torch.bool))
    right = sure(target.labels, 3) * 2 - 40
    logits = right if activation == "softmax" else right[:, 1:]
    value = loss_named(name, activation, **ARGUMENTS.get(name, {}))((logits,), target)
    assert float(value) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("name", "activation"), EVERY)
def test_following_its_gradient_a_network_learns_both_structures(name, activation):
    """Pixels are told apart by their number alone, and one sample does not know the second structure."""
    torch.manual_seed(0)
    x = torch.rand(3, 1, 24, 24) * 2 - 1
    masks = torch.cat([x < -0.4, x > 0.3], 1)
    target = Target(masks, torch.tensor([[True, True], [True, False], [True, True]]))
    outputs = 3 if activation == "softmax" else 2
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 16, 1), torch.nn.ReLU(), torch.nn.Conv2d(16, outputs, 1))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    loss = loss_named(name, activation, **ARGUMENTS.get(name, {}))
    for _ in range(150):
        optimiser.zero_grad()
        loss((network(x),), target).backward()
        optimiser.step()
    with torch.no_grad():
        logits = network(x)
    said = logits.argmax(1, keepdim=True) == torch.tensor([1, 2]).reshape(1, 2, 1, 1)
    said = said if activation == "softmax" else logits > 0
    dice = 2 * (said & masks).sum((0, 2, 3)) / (said.sum((0, 2, 3)) + masks.sum((0, 2, 3)))
    assert float(dice.min()) > 0.95


def test_the_loss_of_the_house_keeps_its_numbers():
    generator = torch.Generator().manual_seed(2)
    full, half = (
        torch.randn(2, 3, 8, 6, 8, generator=generator),
        torch.randn(2, 3, 4, 3, 4, generator=generator),
    )
    masks = torch.rand(2, 2, 8, 6, 8, generator=generator) > 0.7
    target = Target(masks, torch.ones(2, 2, dtype=torch.bool))
    loss = loss_named("cross-entropy-and-batch-dice", "softmax", scale_weights=[1.0, 0.3])
    assert float(loss((full, half), target)) == float(deeply_supervised_loss(full, half, target.labels, 0.3))


def test_one_scale_of_huang_by_hand():
    logits = torch.tensor([math.log(3), math.log(3)]).reshape(1, 1, 1, 2)  # 3/4 twice, one pixel inside
    target = Target(torch.tensor([True, False]).reshape(1, 1, 1, 2), torch.ones(1, 1, dtype=torch.bool))
    loss = loss_named("cross-entropy-and-dice", "sigmoid", alpha=0.1, beta=0.9, smooth=0.0)
    cross_entropy, dice = -(math.log(3 / 4) + math.log(1 / 4)) / 2, 2 * (3 / 4) / (1 + 3 / 2)
    assert float(loss((logits,), target)) == pytest.approx(0.1 * cross_entropy + 0.9 * (1 - dice))


def test_scales_are_weighted_and_coarse_ones_told_what_fills_most_of_a_pixel():
    """At half the size the structure fills three quarters of the first pixel and none of the second."""
    fine, coarse = torch.zeros(1, 1, 2, 4), torch.tensor([2.0, -1.0]).reshape(1, 1, 1, 2)
    masks = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)[None, None]
    target = Target(masks, torch.ones(1, 1, dtype=torch.bool))
    at_fine = math.log(2)
    at_coarse = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    mean = loss_named("binary-cross-entropy", "sigmoid")
    assert float(mean((fine, coarse), target)) == pytest.approx((at_fine + at_coarse) / 2)
    weighted = loss_named("binary-cross-entropy", "sigmoid", scale_weights=[1.0, 3.0])
    assert float(weighted((fine, coarse), target)) == pytest.approx(at_fine + 3 * at_coarse)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (("focal", "softmax", {}), "There is no loss focal; choose one of dice, binary-cross-entropy"),
        (("lovasz-softmax", "sigmoid", {}), "is for softmax and not for sigmoid"),
        (("dice", "softmax", {"gamma": 2}), "takes smooth, scale_weights; not known: gamma, missing: none"),
        (("weighted-cross-entropy", "softmax", {}), "missing: weights"),
    ],
)
def test_a_loss_that_cannot_be_had_is_refused_by_name(call, says):
    name, activation, arguments = call
    with pytest.raises(RecipeInvalid, match=says) as refused:
        loss_named(name, activation, **arguments)
    assert refused.value.code == "recipe.loss"


def test_as_many_weights_as_scales():
    logits, target = random_case("softmax")
    with pytest.raises(RecipeInvalid, match="names 2 weights and the network has 1"):
        loss_named("dice", "softmax", scale_weights=[1, 2])((logits,), target)
