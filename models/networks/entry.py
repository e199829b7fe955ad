"""What the registry knows of one network beside its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """One network of the registry.

    Attributes:
        build: makes it with fresh weights from ``in_channels``, ``classes``, ``width`` and its own arguments.
        dimensions: 2 if it is shown slices, 3 if volumes.
        paper: the paper that the recipes and ``docs/networks.md`` know it by (``xiao-2022``), or ``house``.
        in_channels, classes: those of the paper, at which ``parameters`` is counted.
        parameters: learned numbers at ``width`` 1; buffers (running means) are none.
        counted: ``published`` if the paper prints the number, else ``by hand``: from the table of layers in
            the docstring of the family's file.
        test_width: the ``width`` at which the tests overfit it to two cases.
        full_width_rate: the learning rate at which ``delineate models verify`` does so at ``width`` 1.
    """

    build: Callable[..., nn.Module]
    dimensions: Literal[2, 3]
    paper: str
    in_channels: int
    classes: int
    parameters: int
    counted: Literal["published", "by hand"]
    test_width: float
    full_width_rate: float = 1e-3
