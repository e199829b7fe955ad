import math

import pytest
import torch
from torch import nn

from models.training.learning import overfit as subject
from models.training.learning.overfit import STRUCTURES, overfit


class Pointwise(nn.Module):
    """Sees one pixel at a time, so that noise is all it can go by at an edge."""

    def __init__(self, dimensions, reach=0):
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.layer = conv(1, STRUCTURES, 2 * reach + 1, padding=reach)
        nn.init.zeros_(self.layer.weight)
        nn.init.constant_(self.layer.bias, 1.0)

    def forward(self, x):
        return self.layer(x)

    def scales(self, x):
        return (self.forward(x),)


@pytest.mark.parametrize(("dimensions", "size"), [(2, (64, 64)), (3, (8, 64, 64)), (3, (21, 45, 60))])
def test_cases_are_a_bright_ellipsoid_and_a_dark_box_in_noise(dimensions, size):
    x, masks = subject._cases(size, 2)
    assert x.shape == (2, 2, *size)
    assert masks.shape == (2, STRUCTURES, *size)
    assert not (masks.prod(1) > 0).any()  # they do not touch
    spatial = tuple(range(1, dimensions + 1))
    voxels = math.prod(size)
    for case in range(2):
        for structure, share in ((0, math.pi * 4 / 3 if dimensions == 3 else math.pi), (1, 2**dimensions)):
            half = subject._CASES[case][structure][1][-dimensions:]
            assert masks[case, structure].sum() == pytest.approx(share * math.prod(half) * voxels, rel=0.15)
            inside = masks[case, structure] > 0
            assert x[case, 0][inside].mean() == pytest.approx((1.0, -1.0)[structure], abs=0.05)
            assert x[case, 0][inside].std() == pytest.approx(0.3, rel=0.1)
    assert x[:, 0][(masks.amax(1) == 0)].mean() == pytest.approx(0.0, abs=0.02)
    assert not torch.equal(x[:, 0], x[:, 1])  # noise of its own
    assert all(masks[:, structure].sum(spatial).min() > 0 for structure in range(STRUCTURES))


def test_a_network_that_sees_one_pixel_at_a_time_cannot_know_them_by_heart():
    assert 0.5 < overfit(Pointwise(2), 2, steps=60, learning_rate=0.2) < 0.92


def test_the_figure_is_the_lowest_dsc():
    network = Pointwise(2)
    with torch.no_grad():
        network.layer.weight[:, 0, 0, 0] = 2.0  # logit 2 * brightness - 1: both structures are called both
        network.layer.bias[:] = -1.0
    x, masks = subject._cases((64, 64), 1)
    ellipsoid, box = masks[:, 0].sum((1, 2)), masks[:, 1].sum((1, 2))
    both = ellipsoid + box
    expected = torch.minimum(2 * ellipsoid / (both + ellipsoid), 2 * box / (both + box)).min()
    assert subject._lowest_dsc(network, x * 0 + masks.amax(1, keepdim=True), masks) == pytest.approx(
        expected.item()
    )


def test_loss_of_a_coarse_scale_is_that_of_its_voxels_shares():
    masks = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    # One voxel, half of it inside, logit 0: cross-entropy ln 2, Dice 2 * .25 / (1 + .001).
    expected = math.log(2) + 1 - 0.5 / 1.001
    assert subject._loss((torch.zeros(1, 1, 1, 1),), masks).item() == pytest.approx(expected, abs=1e-6)
    # Two scales are averaged; at full size logits of +-20 are right, which costs nothing but the 0.001.
    right = (masks - 0.5) * 40
    full = 1 - 4 / 4.001
    assert subject._loss((right, torch.zeros(1, 1, 1, 1)), masks).item() == pytest.approx(
        (expected + full) / 2, abs=1e-6
    )


def test_batch_norm_learns_its_statistics_first_and_holds_them():
    class Normed(Pointwise):
        def __init__(self):
            super().__init__(2)
            self.norm = nn.BatchNorm2d(1)
            self.modes = []

        def forward(self, x):
            return self.layer(self.norm(x))

        def scales(self, x):
            self.modes.append(self.training)
            return super().scales(x)

    network = Normed()
    overfit(network, 2, steps=40)
    assert network.modes == [True] * 30 + [False] * 10
    assert network.norm.num_batches_tracked == 30


def test_it_stops_when_the_goal_is_reached():
    steps = []

    class Knowing(Pointwise):
        def scales(self, x):
            steps.append(1)
            return super().scales(x)

        def forward(self, x):
            masks = subject._cases(tuple(x.shape[2:]), 1)[1]
            return self.layer(x) * 0 + masks - 0.5

    assert overfit(Knowing(2), 2, steps=60) == 1.0
    assert len(steps) == 10
