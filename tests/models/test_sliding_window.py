import pytest
import torch
from torch import nn

from models.card import Channel, InputCard
from models.sliding_window import body_box, gaussian_weights, probabilities, tiles
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


def body_in_air(shape, *parts):
    hu = torch.full(shape, -1000.0)
    for part in parts:
        hu[part] = 40
    return hu


def test_the_box_holds_the_body_and_a_rim_but_not_a_couch():
    card = InputCard((5, 5, 5), (4, 4, 4), 0.5, -1000, ())
    body, couch = (slice(5, 30), slice(20, 40), slice(15, 45)), (slice(0, 40), slice(50, 51), slice(0, 60))
    box = body_box(body_in_air((40, 60, 60), body, couch), card)
    assert box == (slice(1, 34), slice(16, 44), slice(11, 49))


def test_the_box_is_as_large_as_a_patch_where_there_is_room():
    card = InputCard((5, 5, 5), (30, 40, 50), 0.5, -1000, ())
    box = body_box(body_in_air((60, 60, 45), (slice(2, 12), slice(20, 30), slice(20, 30))), card)
    assert box == (slice(0, 30), slice(5, 45), slice(0, 45))


def test_progress_ends_at_one():
    told = []
    probabilities(Threshold(), torch.zeros(8, 4, 4), CARD, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_volume_of_air_is_refused():
    with pytest.raises(OutsideTrainedRegion) as refusal:
        probabilities(Threshold(), torch.full((4, 4, 4), -1000.0), CARD)
    assert refusal.value.code == "region.only-air"
