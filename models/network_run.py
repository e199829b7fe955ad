"""One network over one CT: to its grid, through its tiles, stepping down when memory is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from models.along_axes import TORCHSCRIPT, load_scripted
from models.cards.card import BundleError, Card
from models.cards.input_card import InputCard
from models.cards.weights import load_weights
from models.compiled import COMPILED, EAGER, CompiledNetwork, NotCompiled
from models.network_answer import NetworkAnswer, is_finite
from models.network_layout import for_inference
from models.networks import network_of
from models.preprocess import network_grid, to_network
from models.sliding_window import Blended, Look, blended, look_at
from models.stages import Stages
from models.volume import CtVolume

Found = TypeVar("Found")

_VOXELS_ON_GPU: Final = 6_000_000  # shown to the network at a time: four tiles of 96 x 96 x 144
_MOST_TILES: Final = 64


class NotFinite(ArithmeticError):
    """Half precision was not enough: some probability is NaN or infinite."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to run a network: ``step_down`` says what was given up against the attempt before.

    Attributes:
        batch: tiles at a time.
        precision: of the network's arithmetic.
        mode: compiled, or eager: layer by layer.
    """

    device: torch.device
    batch: int
    precision: torch.dtype
    step_down: str = ""
    mode: str = EAGER


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


def attempts(
    device: torch.device, patch_zyx: Sequence[int] = (96, 96, 144), precision: torch.dtype | None = None
) -> tuple[Attempt, ...]:
    """The ways to try in turn: when memory runs out, or half precision is not enough.

    Half precision is float16: its 11 bits keep structures the same but for one voxel in 5,000, where the 8
    bits of bfloat16 move one in 300. A network that leaves the range of float16 is run again in float32.

    Args:
        device: where to run while memory lasts.
        patch_zyx: of the card; as many are shown at a time as fill a GPU.
        precision: the one to begin with; None for the device's own.
    """
    one, full = torch.device("cpu"), torch.float32
    begin = precision or (full if device.type == "cpu" else torch.float16)
    many = 1 if device.type == "cpu" else max(1, min(_MOST_TILES, _VOXELS_ON_GPU // prod(patch_zyx)))
    ways = [Attempt(device, many, begin)]
    if device.type != "cpu":
        ways.append(Attempt(device, 1, begin, "single-tiles"))
    if begin is not full:
        ways.append(Attempt(device, 1, full, "float32"))
    if device.type != "cpu":
        ways.append(Attempt(one, 1, full, "cpu"))
    return tuple(ways)


def stepping_down(
    ways: Sequence[Attempt], run: Callable[[Attempt], Found]
) -> tuple[Found, tuple[Attempt, ...]]:
    """What ``run`` gives in the first of ``ways`` that memory allows, and the ways tried, that one last.

    Raises:
        MemoryError: not even the last one fits.
    """
    tried: list[Attempt] = []
    too_short: set[torch.dtype] = set()
    for way in ways:
        if way.precision in too_short:
            continue
        tried.append(way)
        try:
            return run(way), tuple(tried)
        except NotFinite:
            too_short.add(way.precision)
        except NotCompiled:
            tried.pop()  # eager and compiled are two modes; neither gives anything up
        except (torch.OutOfMemoryError, MemoryError):
            if way.device.type == "cuda":
                torch.cuda.empty_cache()
    message = "the model does not fit into memory, not even in its smallest form"
    raise MemoryError(message)


class NetworkRun:
    """A network with its weights, on its device.

    Args:
        card: of a network.
        device: where it runs while memory lasts.
        precision: of its arithmetic; None for the device's own, which is float16 on a GPU.
    """

    def __init__(self, card: Card, device: torch.device, precision: torch.dtype | None = None) -> None:
        if card.network is None or card.input is None:
            raise BundleError("model.card-invalid", f"{card.reference} is not a network.")
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        self.device = device
        self._card = card
        self._input: InputCard = card.input
        self.runtime = ""
        if card.network.name == TORCHSCRIPT:
            self._network, self.sha256 = load_scripted(card)
            self._network.to(device)
            self.runtime = f"torchscript on torch {torch.__version__}"
        else:
            self._network = _built(card, card.input)
            self.sha256 = load_weights(card, self._network)
            for_inference(self._network.eval().requires_grad_(requires_grad=False), device)
        ways = attempts(device, card.input.patch_zyx, precision)
        self._ways = (replace(ways[0], mode=COMPILED), *ways)
        self._compiled = CompiledNetwork(self._network, device)
        self._warm = False

    def compile(self, *, wait: bool = False) -> None:
        """Have the network compiled in the background for its card's patch, and for other tiles as they come.

        ``wait``: until it is done or has failed.
        """
        self._warm = not self.runtime  # TorchScript is compiled already
        if self._warm:
            self._compiled.ask(self._shape(self._input.patch_zyx), self._ways[0].precision, wait=wait)

    def _shape(self, tile_zyx: Sequence[int]) -> tuple[int, ...]:
        """Of what the network is shown at a time."""
        plane = tile_zyx if self._input.dimensions == 3 else tile_zyx[1:]
        return self._ways[0].batch, self._input.in_channels, *plane

    @torch.inference_mode()
    def run(
        self, volume: CtVolume, progress: Callable[[float], None], stages: Stages | None = None
    ) -> NetworkAnswer:
        """The network's answer to ``volume``; ``progress`` is told the part that is done."""
        stages = stages or Stages()
        grid = network_grid(volume.grid, self._input.spacing_zyx_mm)
        looks: dict[torch.device, Look] = {}

        def in_one_way(way: Attempt) -> Blended:
            if way.device not in looks:
                looks.clear()
                with stages.stage("resample"):
                    hu = to_network(volume, grid, way.device)
                    looks[way.device] = look_at(hu, self._input, grid.spacing_zyx_mm)
            with stages.stage("network"):
                return self._one_way(way, looks[way.device], progress)

        found, tried = stepping_down(self._ways, in_one_way)
        look = looks[tried[-1].device]
        return NetworkAnswer(
            self._card,
            grid,
            found,
            look.hu[look.inside],
            tuple(way.step_down for way in tried if way.step_down),
            str(tried[-1].device),
            str(tried[-1].precision).removeprefix("torch."),
            tried[-1].mode,
        )

    def _one_way(self, way: Attempt, look: Look, progress: Callable[[float], None]) -> Blended:
        if way.mode == EAGER:
            self._network.to(way.device)
            return self._through(self._network, way, look, progress)
        shape = self._shape(look.tile_zyx)
        if self._warm:
            self._compiled.ask(shape, way.precision)
        with self._compiled.held(shape, way.precision) as ready:
            if not ready:
                raise NotCompiled
            return self._through(self._compiled, way, look, progress)

    def _through(
        self,
        network: Callable[[Tensor], Tensor],
        way: Attempt,
        look: Look,
        progress: Callable[[float], None],
    ) -> Blended:
        found = blended(
            network,
            look,
            self._input,
            activation=self._card.activation,
            batch=way.batch,
            precision=way.precision,
            progress=progress,
        )
        if not is_finite(found.probabilities) and way.precision is not torch.float32:
            raise NotFinite  # asking has also waited for the GPU
        return found


def _built(card: Card, shown: InputCard) -> nn.Module:
    """The network of a card, its weights not yet loaded."""
    assert card.network is not None  # noqa: S101 - for the type checker: the caller has looked
    try:
        network = network_of(card.network, in_channels=shown.in_channels, outputs=len(card.outputs))
    except (KeyError, TypeError, ValueError) as error:
        sentence = f"The card of {card.reference} asks for a network that cannot be built: {error}."
        raise BundleError("model.card-invalid", sentence) from error
    if network.dimensions != shown.dimensions:
        sentence = f"The patch of {card.reference} is not one for a network of two or three dimensions."
        raise BundleError("model.card-invalid", sentence)
    return network
