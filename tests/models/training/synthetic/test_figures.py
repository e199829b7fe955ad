import pytest
import torch
from torch import nn

from models.cards.input_card import Channel
from models.synthetic_ct.samples import Sample
from models.training.synthetic.figures import mean_dsc, phantom_cases

PLAIN = (Channel((-1000.0, 1000.0), 0.0, 1.0),)


class Oracle(nn.Module):
    """Says its second of three outputs where the CT number is positive, else the first."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.cat([-x, x, torch.full_like(x, -9e3)], dim=1) * self.weight


def case(labels: torch.Tensor, said: torch.Tensor) -> Sample:
    return Sample(torch.where(said, 100.0, -100.0), labels)


def test_dsc_by_hand():
    labels = torch.zeros((4, 4, 4), dtype=torch.uint8)
    labels[0] = 1  # 16 voxels of bladder
    said = torch.zeros_like(labels, dtype=torch.bool)
    said[0, :2] = True  # 8 of them
    said[1, 0] = True  # and 4 beside: 2 * 8 / (16 + 12)
    cases = [case(labels, said), case(labels, labels == 1)]
    expected = {"Bladder": pytest.approx((16 / 28 + 1) / 2)}
    assert mean_dsc(Oracle(), PLAIN, cases, ("background", "Bladder", "Rectum")) == expected
    assert mean_dsc(Oracle(), PLAIN, cases, ("Rectum", "Bladder", "Other")) == expected


def test_a_structure_that_no_case_shows_is_left_out():
    labels = torch.zeros((4, 4, 4), dtype=torch.uint8)
    labels[0, 0, :3] = 9  # three voxels of sacrum are too few to count
    assert mean_dsc(Oracle(), PLAIN, [case(labels, labels == 1)], ("background", "Sacrum", "Spine")) == {}


def test_phantom_cases_are_the_same_every_time_and_show_the_pelvis():
    first, again = (next(phantom_cases((10, 10, 18), 28.0, 1)) for _ in range(2))
    assert torch.equal(first.hu, again.hu)
    assert {1, 7, 8} <= set(first.labels.unique().tolist())
    other = next(phantom_cases((10, 10, 18), 28.0, 1, first=7))
    assert not torch.equal(first.hu, other.hu)
