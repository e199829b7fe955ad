"""A CT with fourteen ellipsoids, each of its own density, and a network of full size that tells them apart.

The network is ``unet-res-enc`` with random weights, but for a straight path from the input to the head by which
each density wins its own class. All of its layers work, and its structures are where the CT was painted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from models.cards.card import Card, read_card
from models.cards.weights import save_weights
from models.networks import build
from models.networks.unet_res_enc import UnetResEnc
from models.volume import CtVolume, Grid

NAMES: Final = (
    "Bladder", "Rectum", "Bowel_Small", "Colon", "Femur_Head_L", "Femur_Head_R", "Bone_Pelvic_L",
    "Bone_Pelvic_R", "Sacrum", "Spine", "SpinalCanal", "Vessels_Iliac", "Uterus", "Prostate",
)  # fmt: skip
STEP_HU: Final = 60.0
_DIVIDE_HU: Final = 500.0
_MIDDLE: Final = len(NAMES) / 2  # class numbers are counted from here, so that logits stay small
_BODY_HALF_MM: Final = (120.0, 180.0)  # anterior to posterior, right to left
_SHARP: Final = 6.0
_RANDOM: Final = 0.01  # part of what the random layers say in what the straight path says


@dataclass(frozen=True, slots=True)
class Size:
    """How large the case is.

    Attributes:
        slices, pixels: of the CT, whose slices are 3 mm apart and whose field of view is 500 mm.
        patch_zyx, features: of the network.
    """

    slices: int = 200
    pixels: int = 512
    patch_zyx: tuple[int, int, int] = (96, 96, 144)
    features: tuple[int, ...] = (24, 48, 96, 160, 224)

    def as_json(self) -> dict[str, Any]:
        """For a task."""
        return asdict(self)

    @classmethod
    def of(cls, content: dict[str, Any]) -> Size:
        """The size that :meth:`as_json` gave."""
        z, y, x = content["patch_zyx"]
        return cls(content["slices"], content["pixels"], (z, y, x), tuple(content["features"]))


FULL: Final = Size()
SMALL: Final = Size(40, 128, (32, 64, 96), (4, 6, 8))


def painted_ct(size: Size, seed: int = 0) -> CtVolume:
    """The CT, with noise of 10 HU at most."""
    dz, dxy = 3.0, 500.0 / size.pixels
    z = (np.arange(size.slices) - (size.slices - 1) / 2) * dz
    at = (np.arange(size.pixels) - (size.pixels - 1) / 2) * dxy
    y, x = at[:, None], at[None, :]
    hu = np.full((size.slices, size.pixels, size.pixels), -1000, np.int16)
    hu[:, (y / _BODY_HALF_MM[0]) ** 2 + (x / _BODY_HALF_MM[1]) ** 2 < 1] = 0
    for number, (middle, radii) in enumerate(_ellipsoids(z[-1] - z[0]), start=1):
        for k in np.flatnonzero(np.abs(z - middle[0]) < radii[0]):
            left = 1 - ((z[k] - middle[0]) / radii[0]) ** 2
            inside = ((y - middle[1]) / radii[1]) ** 2 + ((x - middle[2]) / radii[2]) ** 2 < left
            hu[k][inside] = round(number * STEP_HU)
    hu += np.random.default_rng(seed).integers(-10, 11, hu.shape, dtype=np.int16)
    origins = np.stack([np.full(size.slices, at[0]), np.full(size.slices, at[0]), z], axis=1)
    grid = Grid(origins, np.array([dxy, 0, 0]), np.array([0, dxy, 0]), size.pixels, size.pixels)
    return CtVolume(hu, grid)


def _ellipsoids(length_mm: float) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Middle and radii, zyx, one for each name: four to a level, none touching another."""
    places = [(y, x) for y in (-50.0, 50.0) for x in (-85.0, 85.0)]
    levels = 1 + (len(NAMES) - 1) // len(places)
    found = []
    for i in range(len(NAMES)):
        level, place = divmod(i, len(places))
        z = ((level + 0.5) / levels - 0.5) * length_mm
        radii = np.array([0.42 * length_mm / levels, 38.0 - i, 62.0 - 2 * i])
        found.append((np.array([z, *places[place]]), radii))
    return found


def painted_bundle(folder: Path, size: Size, **of_input: Any) -> Card:
    """A bundle of the network in ``folder``; ``of_input`` changes the card's section ``input``."""
    folder.mkdir(parents=True, exist_ok=True)
    network = build("unet-res-enc", in_channels=1, classes=1 + len(NAMES), features=list(size.features))
    assert isinstance(network, UnetResEnc)
    tell_densities_apart(network)
    weights = save_weights(network.state_dict(), folder / "weights.safetensors", torch.float32)
    content = {
        "name": "painted", "version": "1.0", "kind": "network", "summary": "tells densities apart",
        "intended_use": "benchmarks", "licence": "Apache-2.0", "validated": False, "validation": "none",
        "network": {"name": "unet-res-enc", "arguments": {"features": list(size.features)}},
        "weights": asdict(weights),
        "input": {
            "spacing_zyx_mm": [3.0, 3.0, 3.0], "patch_zyx": list(size.patch_zyx), "overlap": 0.5,
            "padding_hu": -1000,
            "channels": [{"clip_hu": [-1000, 1000], "subtract_hu": _MIDDLE * STEP_HU, "divide_hu": _DIVIDE_HU}],
        } | of_input,
        "outputs": ["background", *NAMES],
        "structures": {
            name: {
                "extent": "the ellipsoid", "volume_cm3": [1, 3000],
                "postprocess": {"largest_component": True, "fill_holes": True, "minimum_cm3": 2},
            }
            for name in NAMES
        },
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return read_card(folder / "card.yaml")


@torch.no_grad()
def tell_densities_apart(network: UnetResEnc, seed: int = 0) -> None:
    """Random weights, and two channels that carry the input to the head, where class k wins at k steps of HU.

    A leaky ReLU passes the positive half of the input through the one and the negative half through the other:
    their difference is the input again, 1.01 times.
    """
    torch.manual_seed(seed)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter, a=0.01)
    first, last = network.encoder[0], network.decoder[-1]
    network.stem.weight[:2] = 0.0
    network.stem.weight[0, 0, 1, 1, 1] = 1.0
    network.stem.weight[1, 0, 1, 1, 1] = -1.0
    for block in (first, last):
        block.norm2.weight.fill_(_RANDOM)  # type: ignore[union-attr]
    shortcut: torch.nn.Conv3d = last.shortcut[1]  # type: ignore[index, union-attr, assignment]
    shortcut.weight[:2] = 0.0
    for channel in (0, 1):  # behind what comes from below lies the skip
        shortcut.weight[channel, network.stem.out_channels + channel] = 1.0
    network.head.weight.mul_(_RANDOM)
    for number in range(network.head.out_channels):
        k = number - _MIDDLE
        network.head.weight[number, 0] = _SHARP * k * _DIVIDE_HU / STEP_HU / 1.01
        network.head.weight[number, 1] = -network.head.weight[number, 0]
        network.head.bias[number] = -_SHARP * k * k / 2  # type: ignore[index]
