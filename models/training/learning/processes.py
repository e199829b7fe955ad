"""Training in several processes, each with its own device, as PyTorch's launcher ``torchrun`` starts them.

Each process takes its part of every batch. Gradients are averaged over the processes after each step, and so
are the running statistics of batch norm, so that all processes hold the same network at any time. What a loss
or a normalisation computes over a batch, it computes over one process's part of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

Value = TypeVar("Value")

_LONGEST_WAIT = timedelta(hours=6)  # one process may validate much longer than another


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together: number ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """True for the one that writes files and draws."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each floating-point tensor by its mean over the processes, all in one message."""
        if self.count == 1:
            return
        together = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
        distributed.all_reduce(together)
        together /= self.count
        at = 0
        for tensor in tensors:
            part = together[at : at + tensor.numel()]
            tensor.detach().copy_(part.reshape(tensor.shape))
            at += tensor.numel()

    def gathered(self, value: Value) -> list[Value]:
        """What each process gives, in the order of ranks, in all of them."""
        if self.count == 1:
            return [value]
        found: list[Value] = [value] * self.count
        distributed.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, torch.device]]:
    """The processes that the launcher started, or this one alone; and this one's device.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``; under the launcher each process takes the GPU of its
            local rank.
    """
    name = "cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu")
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(), torch.device(name)
        return
    here = torch.device(name)
    if here.type == "cuda":
        here = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(here)
    distributed.init_process_group("nccl" if here.type == "cuda" else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size()), here
        distributed.barrier()  # one that leaves while another still talks to it can be aborted by gloo
    finally:
        distributed.destroy_process_group()
