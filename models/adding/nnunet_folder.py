"""An nnU-Net v2 results folder, as it is: plans.json, dataset.json, fold_*/checkpoint_final.pth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save
from torch import Tensor

from models.adding.checkpoint_reading import read_checkpoint
from models.adding.labels import read_labels
from models.adding.new_bundle import Wish, pairs_of, structures_of, words, write
from models.adding.nnunet_plan import card_for_predictor, card_of_plan
from models.adding.small_yaml import mapping_in
from models.cards.card import BundleError, Card
from models.cards.nnunet_card import is_of_regions, label_values
from models.runtimes.nnunet_networks import own_state
from models.runtimes.nnunet_predictor import parts_of_predictor
from models.runtimes.nnunet_run import load_folds

_CHECKPOINT: Final = "checkpoint_final.pth"


def is_nnunet(path: Path) -> bool:
    """True for the folder of a trained configuration."""
    return (path / "plans.json").is_file() and (path / "dataset.json").is_file()


def add_nnunet(wish: Wish, *limits: str) -> Card:
    """The bundle of a results folder; all folds with a final checkpoint, averaged.

    Our engine runs it where it knows the plan, else nnU-Net's own predictor where that is installed.

    Raises:
        BundleError: see :mod:`models.adding`; ``add.plan-unsupported`` names what the plan asks for.
    """
    plans, data_set = (
        mapping_in(wish.path / name, "add.plan-unreadable", name) for name in ("plans.json", "dataset.json")
    )
    folds = sorted(fold for fold in wish.path.glob("fold_*") if (fold / _CHECKPOINT).is_file())
    if not folds:
        raise BundleError("add.no-fold", f"There is no fold_*/{_CHECKPOINT} in {wish.path.name}.")
    states, first = _weights(wish, folds)
    axes = wish.card.get("network", {}).get("axes")
    about: dict[str, Any]
    try:
        labels = labels_of(data_set)
        plan = card_of_plan(plans, data_set, first, len(folds), axes)
        about = {"kind": "nnunet", "nnunet": asdict(plan), "activation": "softmax"}
        states = [own_state(state) for state in states]
    except BundleError as refusal:
        if refusal.code != "add.plan-unsupported":
            raise
        given = card_for_predictor(plans, data_set, first, len(folds), axes, refusal)
        labels = [name for name, _ in label_values(data_set)]
        apart = is_of_regions(data_set)
        about = {"kind": "nnunet-predictor", "nnunet_predictor": asdict(given)}
        about["activation"] = "sigmoid" if apart else "softmax"
        states = [_each_once(state) for state in states]
    mapped = read_labels(wish.labels, labels, wish.table)
    structures = structures_of(mapped)
    tensors = {f"{i}.{name}": _stored(one) for i, state in enumerate(states) for name, one in state.items()}
    content = save(tensors)
    said = words(wish, "An nnU-Net model from elsewhere.", *limits)
    said.pop("network", None)
    outputs = [mapped[name].name if name in mapped else name for name in labels]
    card = said | {
        **about,
        "weights": {
            "file": "weights.safetensors",
            "sha256": hashlib.sha256(content).hexdigest(),
            "dtype": "float32",
            "parameters": sum(tensor.numel() for tensor in tensors.values()),
        },
        "outputs": outputs if about["activation"] == "sigmoid" else ["background", *outputs],
        "structures": structures,
        "pairs": pairs_of(structures),
        "recipe": {
            "plans": str(plans.get("plans_name")),
            "trainer": str(first.get("trainer_name")),
            "configuration": str(first.get("init_args", {}).get("configuration")),
            "folds": [fold.name for fold in folds],
        },
    }
    return write(wish, card, {"weights.safetensors": content}, _verify)


def _weights(wish: Wish, folds: Sequence[Path]) -> tuple[list[dict[str, Tensor]], Mapping[str, Any]]:
    """The state of each fold's network, and what else the first checkpoint says."""
    states: list[dict[str, Tensor]] = []
    first: Mapping[str, Any] = {}
    for fold in folds:
        checkpoint = read_checkpoint(fold / _CHECKPOINT, trust=wish.trust, told=wish.told)
        state = checkpoint.get("network_weights")
        if not isinstance(state, dict):
            sentence = f"{fold.name} holds no network_weights of nnU-Net."
            raise BundleError("add.checkpoint-unreadable", sentence)
        states.append(state)
        first = first or {key: value for key, value in checkpoint.items() if key != "network_weights"}
    return states, first


def _each_once(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without further names of the same tensor: modules of nnU-Net hold one another."""
    found: dict[tuple[int, tuple[int, ...]], tuple[str, Tensor]] = {}
    for full, tensor in state.items():
        name = full.removeprefix("module.").removeprefix("_orig_mod.")
        found.setdefault((tensor.data_ptr(), tuple(tensor.shape)), (name, tensor))
    return dict(found.values())


def _stored(tensor: Tensor) -> Tensor:
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous().clone()


def _verify(card: Card) -> None:
    if card.nnunet_predictor is None:
        load_folds(card)
    else:
        parts_of_predictor(card, card.nnunet_predictor)


def labels_of(data_set: Mapping[str, Any]) -> Sequence[str]:
    """Names of the outputs by number, without ``background``, which is the first.

    Raises:
        BundleError: ``add.plan-unsupported``: regions, or numbers that do not follow one another.
    """
    labels = {str(name): value for name, value in data_set.get("labels", {}).items() if name != "ignore"}
    numbers = list(labels.values())
    if not all(isinstance(number, int) for number in numbers):
        raise BundleError("add.plan-unsupported", "Its labels are regions, which our engine does not run.")
    by_number = sorted(labels, key=lambda name: labels[name])
    if sorted(numbers) != list(range(len(numbers))) or by_number[:1] != ["background"]:
        sentence = "Its labels are not numbered 0 (background), 1, 2 and so on."
        raise BundleError("add.plan-unsupported", sentence)
    return by_number[1:]
