"""The tensors of a run that a checkpoint must hold, in as many bytes as it may have.

A checkpoint should not exceed ``LIMIT_BYTES``. The exact state of Adam with a running average is 16 bytes a
parameter. Where that is too much it is rounded, first to 10 bytes, then to 6; the running state is rounded
with it at every checkpoint, so that a run goes on the same whether it was interrupted or not. Where not even
that is small enough the checkpoint is exact and as large as it must be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor, nn

from models.cards.weights import stored
from models.training.learning.state_codec import Codec, Packed, packed
from models.training.refusals import TrainingRefused

LIMIT_BYTES: Final = 60_000_000

Kind = Literal["weight", "moment", "square", "average", "other"]

_FORMS: Final[tuple[Mapping[Kind, Codec], ...]] = (
    {},
    {"moment": "bfloat16", "square": "bfloat16", "average": "bfloat16"},
    {"weight": "float24", "moment": "float8", "square": "log8", "average": "near"},
)
_BYTES: Final[Mapping[Codec, int]] = {
    "exact": 4,
    "bfloat16": 2,
    "float24": 3,
    "log8": 1,
    "float8": 1,
    "near": 1,
}
_MOMENTS: Final[Mapping[str, Kind]] = {
    "exp_avg": "moment",
    "exp_avg_sq": "square",
    "momentum_buffer": "moment",
}


@dataclass(slots=True)
class RunState:
    """A network in training, with what belongs to it.

    Attributes:
        network, optimiser: as they are trained.
        averages: running average of each parameter by name; empty if there is none.
        keeps_best: True if ``best`` will be filled.
        best: the weights to keep, as a bundle stores them.
        large_bytes: how large a checkpoint is if it exceeds the limit in every form, else 0.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    averages: dict[str, Tensor]
    keeps_best: bool
    best: dict[str, Tensor] = field(default_factory=dict)
    large_bytes: int = field(init=False, default=0)
    _form: Mapping[Kind, Codec] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        sizes = [self._bytes_in(form) for form in _FORMS]
        fitting = [form for form, size in zip(_FORMS, sizes, strict=True) if size <= LIMIT_BYTES]
        self._form = fitting[0] if fitting else _FORMS[0]
        self.large_bytes = 0 if fitting else sizes[0]

    @property
    def is_exact(self) -> bool:
        """True if a checkpoint changes nothing in the run."""
        return not self._form

    def packed(self) -> dict[str, Packed]:
        """Every tensor as the checkpoint has it, the running state rounded alike."""
        found = {f"best/{name}": packed(tensor, "exact") for name, tensor in self.best.items()}
        for key, kind, tensor in self._tensors():
            near = self._weight(key) if kind == "average" else None
            small = packed(tensor, self._codec(kind), near)
            if small.codec != "exact":
                with torch.no_grad():
                    tensor.copy_(small.tensor(near))
            found[key] = small
        return found

    def unpack(self, tensors: Mapping[str, Packed]) -> None:
        """Put a checkpoint's tensors in place.

        Raises:
            TrainingRefused: ``checkpoint.does-not-fit``.
        """
        try:
            self._unpack(tensors)
        except (KeyError, ValueError, RuntimeError) as error:
            sentence = "The checkpoint does not fit this network and optimiser; it is another run's."
            raise TrainingRefused("checkpoint.does-not-fit", sentence) from error

    def _unpack(self, tensors: Mapping[str, Packed]) -> None:
        own = {name: tensors[f"network/{name}"].tensor() for name in self.network.state_dict()}
        self.network.load_state_dict(own)
        for name, parameter in self.network.named_parameters():
            state = self.optimiser.state[parameter]
            for key, small in tensors.items():
                part, _, of = key.partition("/")
                if part.startswith("optimiser.") and of == name:
                    state[part.removeprefix("optimiser.")] = _like(parameter, small.tensor())
        weights = dict(self.network.named_parameters())
        for name, average in self.averages.items():
            average.copy_(tensors[f"average/{name}"].tensor(weights[name]))
        self.best = {
            key.removeprefix("best/"): small.tensor()
            for key, small in tensors.items()
            if key.startswith("best/")
        }

    def _tensors(self) -> Iterator[tuple[str, Kind, Tensor]]:
        """Weights before averages, because some of these are packed against them."""
        learned = {name for name, _ in self.network.named_parameters()}
        for name, tensor in self.network.state_dict().items():
            yield f"network/{name}", "weight" if name in learned else "other", tensor
        for name, parameter in self.network.named_parameters():
            for key, tensor in self.optimiser.state.get(parameter, {}).items():
                if isinstance(tensor, Tensor):
                    yield f"optimiser.{key}/{name}", _MOMENTS.get(key, "other"), tensor
        for name, average in self.averages.items():
            yield f"average/{name}", "average", average

    def _weight(self, key: str) -> Tensor:
        return self.network.get_parameter(key.removeprefix("average/"))

    def _codec(self, kind: Kind) -> Codec:
        return self._form.get(kind, "exact")

    def _bytes_in(self, form: Mapping[Kind, Codec]) -> int:
        """Of a checkpoint in this form, the optimiser's state taken to be that of Adam or of SGD."""
        kinds: list[Kind] = ["weight", "moment"]
        kinds += [] if isinstance(self.optimiser, torch.optim.SGD) else ["square"]
        kinds += ["average"] if self.averages else []
        count = sum(parameter.numel() for parameter in self.network.parameters())
        buffers = sum(buffer.numel() for buffer in self.network.buffers())
        each = sum(_BYTES[form.get(kind, "exact")] for kind in kinds) + (2 if self.keeps_best else 0)
        return count * each + buffers * (8 if self.keeps_best else 4)


def _like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """A tensor of the optimiser's state where the optimiser would have put it."""
    if tensor.dim() == 0:
        return tensor
    placed = torch.empty_like(parameter)
    return placed.copy_(tensor)


def averaged_state(network: nn.Module, averages: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with the averages, where there are any, in the parameters' place."""
    return {name: averages.get(name, tensor).detach() for name, tensor in network.state_dict().items()}


def best_of(network: nn.Module, averages: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy on the CPU of what a bundle would get now, as it would store it."""
    return stored(averaged_state(network, averages))
