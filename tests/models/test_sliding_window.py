import dataclasses

import pytest
import torch
from torch import nn

from models import sliding_window
from models.cards.input_card import Channel, InputCard
from models.sliding_window import (
    blended,
    gaussian_weights,
    look_at,
    network_input,
    network_inputs,
    probabilities,
    tiles,
)
from models.volume import OutsideTrainedRegion

CARD = InputCard((3, 2, 2), (4, 4, 4), 0.5, -1000, (Channel((-1000, 1000), 0, 100),))


class Threshold(nn.Module):
    """Two classes, voxel by voxel: the second is likely where the HU are positive."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, x):
        self.shown.append(x.shape[0])
        return torch.cat([-x, x], dim=1)


def test_tiles_cover_everything_and_share_what_they_should():
    found = tiles((10, 4, 9), (4, 4, 4), 0.5)
    assert [t[0].start for t in found if t[2].start == 0] == [0, 2, 4, 6]
    assert sorted({t[2].start for t in found}) == [0, 2, 3, 5]
    seen = torch.zeros(10, 4, 9)
    for tile in found:
        assert seen[tile].shape == (4, 4, 4)
        seen[tile] += 1
    assert seen.min() >= 1


def test_one_tile_is_enough_where_the_patch_is_as_large():
    assert tiles((4, 3, 2), (4, 4, 4), 0.5) == [(slice(0, 4), slice(0, 4), slice(0, 4))]


def test_weights_are_largest_in_the_middle_and_symmetric():
    weights = gaussian_weights((4, 6, 8), torch.device("cpu"))
    assert weights.shape == (4, 6, 8)
    assert torch.allclose(weights, weights.flip(0, 1, 2))
    assert weights.max() == weights[1, 2, 3]
    assert weights.min() > 0


@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_that_looks_at_single_voxels_is_not_changed_by_blending(batch):
    hu = torch.linspace(-900, 900, 6 * 5 * 9).reshape(6, 5, 9)
    found = probabilities(Threshold(), hu, CARD, batch=batch)
    assert found.shape == (2, 6, 5, 9)
    torch.testing.assert_close(found[1], torch.sigmoid(2 * hu / 100), atol=1e-5, rtol=0)


def test_a_volume_smaller_than_the_patch_is_padded_and_cut_again():
    hu = torch.full((2, 9, 3), 400.0)
    found = probabilities(Threshold(), hu, CARD)
    assert found.shape == (2, 2, 9, 3)
    assert (found[1] > 0.99).all()


def test_far_from_the_body_there_is_background_and_nobody_looks():
    hu = torch.full((4, 4, 80), -1000.0)
    hu[:, :, :4] = 50
    network = Threshold()
    found = probabilities(network, hu, CARD)
    assert len(network.shown) < len(tiles((4, 4, 80), (4, 4, 4), 0.5)) / 3
    assert (found[0, :, :, 20:] == 1).all()
    assert (found[1, :, :, :4] > 0.7).all()


def test_progress_ends_at_one():
    told = []
    probabilities(Threshold(), torch.zeros(8, 4, 4), CARD, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_volume_of_air_is_refused():
    with pytest.raises(OutsideTrainedRegion) as refusal:
        probabilities(Threshold(), torch.full((4, 4, 4), -1000.0), CARD)
    assert refusal.value.code == "region.only-air"


FLAT = InputCard((3, 2, 2), (1, 4, 4), 0.5, -1000, (Channel((-1000, 1000), 0, 100),), context_slices=3)


class MiddleOfThree(nn.Module):
    """One output from three slices: ten times the lower one, the middle one, a tenth of the upper one."""

    def forward(self, x):
        assert x.shape[1:] == (3, 4, 4)
        return x[:, 0:1] * 10 + x[:, 1:2] + x[:, 2:3] / 10


def test_single_slices_do_not_overlap_and_each_is_seen():
    starts = [t[0].start for t in tiles((7, 4, 4), (1, 4, 4), 0.5)]
    assert starts == list(range(7))


def test_neighbouring_slices_are_channels_and_the_end_ones_are_repeated():
    hu = torch.arange(3.0).reshape(3, 1, 1).expand(3, 4, 4)
    card = InputCard((3, 2, 2), (1, 4, 4), 0, -1000, (Channel((-9, 9), 0, 1), Channel((-9, 9), 0, 10)), 3)
    place = (slice(0, 1), slice(0, 4), slice(0, 4))
    assert network_input(hu, place, card)[:, 0, 0].tolist() == pytest.approx([0, 0, 0, 0, 1, 0.1])
    place = (slice(2, 3), slice(0, 4), slice(0, 4))
    assert network_input(hu, place, card)[:, 0, 0].tolist() == pytest.approx([1, 0.1, 2, 0.2, 2, 0.2])


@pytest.mark.parametrize("batch", [1, 5])
def test_a_flat_network_gives_each_slice_from_its_neighbours(batch):
    hu = torch.tensor([10.0, 20.0, -30.0]).reshape(3, 1, 1).expand(3, 6, 5).contiguous()
    found = probabilities(MiddleOfThree(), hu, FLAT, activation="sigmoid", batch=batch)
    assert found.shape == (1, 3, 6, 5)
    logits = [0.1 * 10 + 0.1 + 0.02, 0.1 * 10 + 0.2 - 0.03, 0.2 * 10 - 0.3 - 0.03]
    for k, logit in enumerate(logits):
        torch.testing.assert_close(found[0, k], torch.full((6, 5), logit).sigmoid())


def test_sigmoid_says_nothing_where_nobody_looked():
    hu = torch.full((4, 4, 80), -1000.0)
    hu[:, :, :4] = 50
    found = probabilities(Threshold(), hu, CARD, activation="sigmoid")
    assert (found[:, :, :, 30:] == 0).all()
    assert (found[1, :, :, :4] > 0.5).all()


def test_the_spacing_must_be_known():
    card = InputCard((None, 2, 2), (1, 4, 4), 0, -1000, (Channel((-1000, 1000), 0, 100),))
    with pytest.raises(ValueError, match="tell their spacing"):
        probabilities(Threshold(), torch.zeros(2, 4, 4), card)
    found = probabilities(Threshold(), torch.zeros(2, 4, 4), card, spacing_zyx_mm=(3, 2, 2))
    assert found.shape == (2, 2, 4, 4)


def test_an_axis_a_little_longer_than_the_patch_is_seen_in_one_piece_if_the_card_says_so():
    stretching = dataclasses.replace(CARD, stretch=0.5)
    assert stretching.tile_zyx((6, 7, 3)) == (6, 4, 4)  # 6 is half as much again, 7 is more
    assert CARD.tile_zyx((6, 7, 3)) == (4, 4, 4)
    network = Threshold()
    found = probabilities(network, torch.full((6, 6, 4), 400.0), stretching)
    assert network.shown == [1]
    assert (found[1] > 0.99).all()


def test_a_single_slice_does_not_stretch():
    assert dataclasses.replace(FLAT, stretch=1.0).tile_zyx((2, 6, 9)) == (1, 6, 4)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_tiles_of_air_are_not_shown(activation):
    hu = torch.full((4, 4, 16), -1000.0)
    hu[:, :, :2] = hu[:, :, -2:] = 50  # two bodies, nothing between them
    network = Threshold()
    found = probabilities(network, hu, CARD, activation=activation)
    assert len(network.shown) == 2 < len(tiles((4, 4, 16), (4, 4, 4), 0.5))
    assert (found[1, :, :, :2] > 0.6).all()  # sigmoid(50 / 100) = 0.62
    assert (found[1, :, :, 6:10] == 0).all()
    assert (found[0, :, :, 6:10] == (1 if activation == "softmax" else 0)).all()


@pytest.mark.parametrize("context", [1, 3])
def test_slices_that_follow_one_another_are_shown_in_one_go_as_they_are_one_by_one(context):
    hu = torch.arange(5 * 4 * 6, dtype=torch.float32).reshape(5, 4, 6)
    wanted = (Channel((0, 100), 10, 2), Channel((20, 50), 0, 1))
    card = InputCard((3.0, 3.0, 3.0), (1, 4, 4), 0.0, -1000, wanted, context_slices=context)
    row = [(slice(k, k + 1), slice(0, 4), slice(1, 5)) for k in range(1, 5)]
    for places in (row, row[:1], row[::-1], [*row, (slice(4, 5), slice(0, 4), slice(2, 6))]):
        expected = torch.stack([network_input(hu, place, card) for place in places])
        assert torch.equal(network_inputs(hu, places, card), expected)


def test_slices_that_follow_one_another_are_blended_in_one_go_as_they_are_one_by_one(monkeypatch):
    card = InputCard((3.0, 3.0, 3.0), (1, 6, 8), 0.0, -1000, (Channel((-1000, 1000), 0, 500),))
    hu = torch.randn(7, 6, 8, generator=torch.Generator().manual_seed(2)) * 300
    hu[2] = -1000  # air is not shown
    torch.manual_seed(3)
    network = torch.nn.Conv2d(1, 3, 3, padding=1)
    found = [blended(network, look_at(hu, card), card, batch=batch).probabilities for batch in (1, 4)]
    monkeypatch.setattr(sliding_window, "_slices_in_a_row", lambda _: None)
    found.append(blended(network, look_at(hu, card), card, batch=4).probabilities)
    torch.testing.assert_close(found[0], found[1])
    assert torch.equal(found[1], found[2])
