"""One network over one CT: to its grid, through its tiles, stepping down when memory is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import cc3d
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.card import BundleError, Card
from models.input_card import InputCard
from models.left_right import Sides, split_sides
from models.native_field import margin, margin_over_threshold
from models.networks import network_of
from models.plausibility import Seen, check_region
from models.preprocess import NetworkGrid, network_grid, to_network
from models.sliding_window import probabilities
from models.volume import CtVolume, Finding
from models.weights import load_weights

Found = TypeVar("Found")

_TILES_ON_GPU: Final = 4


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to run a network: ``step_down`` says what was given up against the attempt before."""

    device: torch.device
    batch: int
    precision: torch.dtype
    step_down: str = ""


def device_named(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        BundleError: ``model.no-device``, a GPU was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not available:
        sentence = "No GPU can be used here. Set node.device to auto or cpu, or repair the driver."
        raise BundleError("model.no-device", sentence)
    return device


def attempts(device: torch.device) -> tuple[Attempt, ...]:
    """The ways to try in turn when memory runs out."""
    slow = Attempt(torch.device("cpu"), 1, torch.float32)
    if device.type == "cpu":
        return (slow,)
    half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return (
        Attempt(device, _TILES_ON_GPU, torch.float32),
        Attempt(device, 1, torch.float32, "single-tiles"),
        Attempt(device, 1, half, "half"),
        Attempt(slow.device, slow.batch, slow.precision, "cpu"),
    )


def stepping_down(
    ways: Sequence[Attempt], run: Callable[[Attempt], Found]
) -> tuple[Found, tuple[Attempt, ...]]:
    """What ``run`` gives in the first of ``ways`` that memory allows, and the ways tried, that one last.

    Raises:
        MemoryError: not even the last one fits.
    """
    for at, way in enumerate(ways):
        try:
            return run(way), tuple(ways[: at + 1])
        except (torch.OutOfMemoryError, MemoryError):
            if way.device.type == "cuda":
                torch.cuda.empty_cache()
    message = "the model does not fit into memory, not even in its smallest form"
    raise MemoryError(message)


@dataclass(frozen=True, slots=True)
class NetworkAnswer:
    """What a network says of one CT, on its own grid, axes head, posterior, left.

    Attributes:
        grid: how it belongs to the CT's.
        steps_down: what was given up to fit into memory.
        device, precision: what it ran on at last.
    """

    card: Card
    grid: NetworkGrid
    probabilities: Tensor
    hu: Tensor
    steps_down: tuple[str, ...]
    device: str
    precision: str

    @property
    def voxel_cm3(self) -> float:
        """Of one voxel of the network's grid."""
        return float(np.prod(self.grid.spacing_zyx_mm)) / 1000

    @property
    def is_finite(self) -> bool:
        """False if any probability is NaN or infinite."""
        return bool(torch.isfinite(self.probabilities).all())

    def _winners(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """Each output but background and the voxels that are its own."""
        if self.card.activation == "sigmoid":
            return [(name, self.margin(name) > 0) for name in self.card.outputs]
        winner = self.probabilities.argmax(dim=0).to(torch.uint8).cpu().numpy()
        return [(name, winner == i) for i, name in enumerate(self.card.outputs) if i]

    def check_region(self) -> tuple[Finding, ...]:
        """As the card's region asks, from what the network says before any postprocessing.

        Raises:
            OutsideTrainedRegion: the CT does not show it.
        """
        if self.card.region is None:
            return ()
        hu = self.hu.cpu().numpy()
        seen: dict[str, Seen] = {}
        for name, mask in self._winners():
            labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
            if not count:
                continue
            voxels = np.bincount(labels.ravel())
            here = labels == voxels[1:].argmax() + 1
            seen[name] = Seen(
                float(here.sum()) * self.voxel_cm3,
                float(hu[here].mean()),
                float(self.probabilities[self.card.outputs.index(name)].cpu().numpy()[here].mean()),
            )
        return check_region(self.card.region, seen)

    def margin(self, name: str) -> NDArray[np.float32]:
        """``(z, y, x)`` logit margin of one output: over the best of the others, or over its threshold."""
        index = self.card.outputs.index(name)
        own = self.probabilities[index].cpu().numpy()
        if self.card.activation == "sigmoid":
            return margin_over_threshold(own, self.card.thresholds.get(name, 0.5))
        before, after = self.probabilities[:index], self.probabilities[index + 1 :]
        best = torch.cat([part.amax(dim=0, keepdim=True) for part in (before, after) if len(part)]).amax(
            dim=0
        )
        return margin(own, best.cpu().numpy())

    def sides(self, name: str) -> Sides | None:
        """The left and the right structure of an output that holds both; None if that is not certain."""
        midline = [self.margin(one) for one in self.card.midline if one in self.card.outputs]
        return split_sides(self.margin(name), midline, self.grid.spacing_zyx_mm)


class NetworkRun:
    """A network with its weights, on its device."""

    def __init__(self, card: Card, device: torch.device) -> None:
        if card.network is None or card.input is None:
            raise BundleError("model.card-invalid", f"{card.reference} is not a network.")
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        self._card = card
        self._input: InputCard = card.input
        self._ways = attempts(device)
        try:
            self._network = network_of(
                card.network, in_channels=card.input.in_channels, outputs=len(card.outputs)
            )
        except (KeyError, TypeError, ValueError) as error:
            sentence = f"The card of {card.reference} asks for a network that cannot be built: {error}."
            raise BundleError("model.card-invalid", sentence) from error
        if self._network.dimensions != card.input.dimensions:
            sentence = f"The patch of {card.reference} is not one for a network of two or three dimensions."
            raise BundleError("model.card-invalid", sentence)
        self.sha256 = load_weights(card, self._network)
        self._network.eval().requires_grad_(requires_grad=False).to(device)

    @torch.inference_mode()
    def run(self, volume: CtVolume, progress: Callable[[float], None]) -> NetworkAnswer:
        """The network's answer to ``volume``; ``progress`` is told the part that is done."""
        grid = network_grid(volume.grid, self._input.spacing_zyx_mm)

        def in_one_way(way: Attempt) -> tuple[Tensor, Tensor]:
            self._network.to(way.device)
            hu = to_network(volume, grid, way.device)
            found = probabilities(
                self._network,
                hu,
                self._input,
                activation=self._card.activation,
                spacing_zyx_mm=grid.spacing_zyx_mm,
                batch=way.batch,
                precision=way.precision,
                progress=progress,
            )
            return found, hu

        (found, hu), tried = stepping_down(self._ways, in_one_way)
        return NetworkAnswer(
            self._card,
            grid,
            found,
            hu,
            tuple(way.step_down for way in tried[1:]),
            str(tried[-1].device),
            str(tried[-1].precision).removeprefix("torch."),
        )
