"""A MONAI bundle: ``configs/metadata.json``, ``configs/inference.json`` and a network in ``models``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save
from torch import Tensor

from models.adding.checkpoint_reading import read_checkpoint
from models.adding.labels import read_labels
from models.adding.monai_arguments import class_name
from models.adding.monai_config import BundleConfig, config_file
from models.adding.monai_transforms import Answer, answer_of, steps_of, window_of
from models.adding.new_bundle import UNKNOWN_LICENCE, Wish, pairs_of, structures_of, words, write
from models.adding.small_yaml import mapping_in
from models.along_axes import scripted
from models.cards.card import BundleError, Card
from models.cards.monai_card import MonaiCard, MonaiNetwork, Orientation
from models.runtimes.monai_networks import NETWORKS, is_plain
from models.runtimes.monai_run import load_network, windowed

_SCRIPTED: Final = "model.ts"
_STATE: Final = "model.pt"
_STATE_KEYS: Final = ("model", "state_dict", "network", "net")
_LICENCE_LETTERS: Final = 200
_SHOWN_AXIS: Final = 64  # voxels of the tile that is shown where a window is as long as the CT


def is_monai(path: Path) -> bool:
    """True for the folder of a bundle."""
    return path.is_dir() and config_file(path, "metadata") is not None and (path / "models").is_dir()


def add_monai(wish: Wish) -> Card:
    """The bundle of a MONAI bundle, its TorchScript export if it has one.

    Raises:
        BundleError: see :mod:`models.adding`.
    """
    metadata_file = config_file(wish.path, "metadata")
    assert metadata_file is not None  # noqa: S101 - for the type checker: see is_monai
    metadata = mapping_in(metadata_file, "add.bundle-unreadable", "The metadata of the bundle")
    config = BundleConfig(wish.path, trust=wish.trust, told=wish.told)
    image, pred, labels = _channels(metadata)
    steps, answer, window = steps_of(config, image), answer_of(config, pred), window_of(config)
    axes = wish.card.get("network", {}).get("axes")
    if axes is None and not any(isinstance(step, Orientation) for step in steps):
        sentence = (
            "The bundle has no Orientationd, so it does not say along which axes its network was trained: "
            "say network: {axes: ...} in the small card."
        )
        raise BundleError("add.card-incomplete", sentence)
    network, name, content, parameters = _weights(wish, config)
    back = answer.back or "linear"
    monai = MonaiCard(window, steps, str(axes or "LPS"), back, answer.activated_first, network)
    softmax = answer.activation == "softmax"
    offered = _offered(labels, background=softmax)
    mapped = read_labels(wish.labels, offered)
    structures = structures_of(mapped)
    for label, one in mapped.items():
        if answer.largest is None or labels.index(label) in answer.largest:
            structures[one.name]["postprocess"] = {"largest_component": True}
    outputs = [mapped[label].name if label in mapped else label for label in offered]
    said = _said_of(wish, metadata)
    card = said | {
        "kind": "monai",
        "monai": asdict(monai),
        "weights": {"file": name, "sha256": hashlib.sha256(content).hexdigest(), **parameters},
        "outputs": ["background", *outputs] if softmax else outputs,
        "activation": answer.activation,
        "thresholds": _thresholds(answer, outputs),
        "structures": structures,
        "pairs": pairs_of(structures),
    }
    return write(wish, card, {name: content}, _verify)


def _channels(metadata: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    """What the bundle calls its input and its answer, and the answer's channels in order.

    Raises:
        BundleError: ``add.bundle-unreadable``, or ``add.bundle-unsupported``: other input than one CT.
    """
    try:
        said = metadata["network_data_format"]
        (image, shown), (pred, given) = said["inputs"].popitem(), said["outputs"].popitem()
        if said["inputs"] or said["outputs"] or int(shown["num_channels"]) != 1:
            sentence = "The bundle takes or gives more than one image of one channel; run here is one CT."
            raise BundleError("add.bundle-unsupported", sentence)
        modality = str(shown.get("modality", "CT")).upper()
        if modality not in ("CT", "HOUNSFIELD", "N/A"):
            sentence = f"The bundle was made for {modality}; run here are models of CT."
            raise BundleError("add.bundle-unsupported", sentence)
        by_number = {int(number): str(name) for number, name in given["channel_def"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, BundleError):
            raise
        sentence = f"The metadata lacks or misstates {error} of network_data_format."
        raise BundleError("add.bundle-unreadable", sentence) from error
    if sorted(by_number) != list(range(len(by_number))) or len(set(by_number.values())) != len(by_number):
        sentence = (
            "channel_def of the metadata does not number its channels 0, 1, 2 and so on, each by its name."
        )
        raise BundleError("add.bundle-unreadable", sentence)
    return str(image), str(pred), [by_number[number] for number in range(len(by_number))]


def _offered(labels: Sequence[str], *, background: bool) -> list[str]:
    """The labels but background, which softmax has first and sigmoid has not."""
    if background != (labels[0].lower() == "background") or (background and len(labels) < 2):
        sentence = (
            "channel_def and postprocessing do not fit one another: softmax has background as channel 0 and "
            "one more at least, sigmoid has no background."
        )
        raise BundleError("add.bundle-unsupported", sentence)
    return list(labels[1:] if background else labels)


def _thresholds(answer: Answer, outputs: Sequence[str]) -> dict[str, float]:
    return {} if answer.threshold is None else dict.fromkeys(outputs, answer.threshold)


def _said_of(wish: Wish, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the card says for people: of the metadata, and of the small card before it."""
    from_bundle = {
        "version": str(metadata.get("version", "1.0")),
        "summary": str(
            metadata.get("task") or metadata.get("description") or "A MONAI bundle from elsewhere."
        ),
        "licence": _licence(wish.path, metadata),
    }
    said = words(wish, from_bundle["summary"])
    said |= {key: value for key, value in from_bundle.items() if key not in wish.card}
    for of_network in ("network", "input", "activation"):
        said.pop(of_network, None)
    said["recipe"] = {
        key: str(metadata[key])
        for key in ("name", "version", "monai_version", "pytorch_version", "authors", "data_source")
        if metadata.get(key)
    }
    return said


def _licence(folder: Path, metadata: Mapping[str, Any]) -> str:
    """As the metadata says it, else how the bundle's licence file begins."""
    said = [str(metadata[key]) for key in ("license", "copyright") if metadata.get(key)]
    for file in (folder / "LICENSE", folder / "docs" / "LICENSE", folder / "docs" / "data_license.txt"):
        if "license" not in metadata and file.is_file():
            begins = " ".join(file.read_text(encoding="utf-8", errors="replace").split())[:_LICENCE_LETTERS]
            said.insert(0, f"{file.name} of the bundle: {begins}")
            break
    return "; ".join(said) or UNKNOWN_LICENCE


def _weights(wish: Wish, config: BundleConfig) -> tuple[MonaiNetwork | None, str, bytes, dict[str, Any]]:
    """The network to build (None for TorchScript), the file's name and content, and the card's words."""
    script, state_file = (wish.path / "models" / name for name in (_SCRIPTED, _STATE))
    if script.is_file():
        content = script.read_bytes()
        parameters = list(scripted(content, wish.path.name).parameters())
        kinds = sorted({str(each.dtype).removeprefix("torch.") for each in parameters})
        count = sum(each.numel() for each in parameters)
        return None, "network.ts", content, {"dtype": " ".join(kinds) or "none", "parameters": count}
    if not state_file.is_file():
        sentence = f"There is neither models/{_SCRIPTED} nor models/{_STATE} in {wish.path.name}."
        raise BundleError("add.no-weights", sentence)
    network = _network_said(config)
    found = read_checkpoint(state_file, trust=wish.trust, told=wish.told)
    nested = [found[key] for key in _STATE_KEYS if isinstance(found.get(key), dict)]
    state = {name: one for name, one in (nested[0] if nested else found).items() if isinstance(one, Tensor)}
    if not state:
        raise BundleError("add.checkpoint-unreadable", f"{_STATE} holds no state of a network.")
    tensors = {name: _stored(tensor) for name, tensor in state.items()}
    count = sum(tensor.numel() for tensor in tensors.values())
    return network, "weights.safetensors", save(tensors), {"dtype": "float32", "parameters": count}


def _stored(tensor: Tensor) -> Tensor:
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous().clone()


def _network_said(config: BundleConfig) -> MonaiNetwork:
    """The class and arguments of ``network_def``.

    Raises:
        BundleError: ``add.network-unknown`` or ``add.needs-trust``.
    """
    said = config.entry("network_def")
    name = class_name(said) if isinstance(said, Mapping) else "no network_def"
    if not isinstance(said, Mapping) or name not in NETWORKS:
        sentence = (
            f"The bundle's network is {name}, which is not built here; known are "
            f"{', '.join(sorted(NETWORKS))}. Export it with monai.bundle ckpt_export to models/model.ts."
        )
        raise BundleError("add.network-unknown", sentence)
    arguments = config.value({key: value for key, value in said.items() if not key.startswith("_")})
    if not is_plain(arguments):
        sentence = f"The arguments of {name} are more than numbers, texts and lists of these."
        raise BundleError("add.network-unknown", sentence)
    return MonaiNetwork(name, arguments)


def _verify(card: Card) -> None:
    """Show the network one window of zeros.

    Raises:
        BundleError: it is not there, or gives something else than its card says.
    """
    assert card.monai is not None  # noqa: S101 - for the type checker: it was just written
    network, _ = load_network(card, card.monai)
    shape = [size or _SHOWN_AXIS for size in card.monai.window.roi]
    try:
        with torch.inference_mode():
            windowed(network, torch.zeros(shape), card.monai.window, outputs=len(card.outputs))
    except RuntimeError as error:
        sentence = "The network does not take a window of the size that the bundle names."
        raise BundleError("model.answer-invalid", sentence) from error
