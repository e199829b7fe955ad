"""What the test of a family of networks calls to overfit each of its names, at its entry's ``test_width``."""

import torch

from models.networks.entry import NetworkEntry
from models.training.learning.overfit import STRUCTURES, overfit


def overfitted_dsc(entry: NetworkEntry, **arguments) -> float:
    """The lowest DSC of a fresh narrow network after `overfit` on one core, the same at every call."""
    torch.manual_seed(0)
    network = entry.build(in_channels=entry.in_channels, classes=STRUCTURES, width=entry.test_width)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return overfit(network, entry.dimensions, in_channels=entry.in_channels, **arguments)
    finally:
        torch.set_num_threads(threads)
