"""An nnU-Net v2 results folder, as it is: plans.json, dataset.json, fold_*/checkpoint_final.pth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save
from torch import Tensor

from models.adding.checkpoint_reading import read_checkpoint
from models.adding.labels import read_labels
from models.adding.new_bundle import Wish, pairs_of, structures_of, words, write
from models.adding.nnunet_plan import card_of_plan
from models.card import BundleError, Card
from models.nnunet_networks import own_state
from models.nnunet_run import load_folds

_CHECKPOINT: Final = "checkpoint_final.pth"


def is_nnunet(path: Path) -> bool:
    """True for the folder of a trained configuration."""
    return (path / "plans.json").is_file() and (path / "dataset.json").is_file()


def add_nnunet(wish: Wish, *limits: str) -> Card:
    """The bundle of a results folder; all folds with a final checkpoint, averaged.

    Raises:
        BundleError: see :mod:`models.adding`; ``add.plan-unsupported`` names what the plan asks for.
    """
    plans, data_set = _json(wish.path / "plans.json"), _json(wish.path / "dataset.json")
    folds = sorted(fold for fold in wish.path.glob("fold_*") if (fold / _CHECKPOINT).is_file())
    if not folds:
        raise BundleError("add.no-fold", f"There is no fold_*/{_CHECKPOINT} in {wish.path.name}.")
    labels = labels_of(data_set)
    mapped = read_labels(wish.labels, labels[1:])
    tensors: dict[str, Tensor] = {}
    first: Mapping[str, Any] = {}
    for number, fold in enumerate(folds):
        checkpoint = read_checkpoint(fold / _CHECKPOINT, trust=wish.trust, told=wish.told)
        state = checkpoint.get("network_weights")
        if not isinstance(state, dict):
            raise BundleError(
                "add.checkpoint-unreadable", f"{fold.name} holds no network_weights of nnU-Net."
            )
        for name, tensor in own_state(state).items():
            tensors[f"{number}.{name}"] = tensor.float().contiguous().clone()
        first = first or {key: value for key, value in checkpoint.items() if key != "network_weights"}
    content = save(tensors)
    plan = card_of_plan(plans, data_set, first, len(folds), wish.card.get("network", {}).get("axes"))
    structures = structures_of(mapped)
    said = {key: value for key, value in words(wish, "An nnU-Net model from elsewhere.", *limits).items()}
    said.pop("network", None)
    card = said | {
        "kind": "nnunet",
        "nnunet": asdict(plan),
        "weights": {
            "file": "weights.safetensors",
            "sha256": hashlib.sha256(content).hexdigest(),
            "dtype": "float32",
            "parameters": sum(tensor.numel() for tensor in tensors.values()),
        },
        "outputs": ["background", *(mapped[name].name if name in mapped else name for name in labels[1:])],
        "structures": structures,
        "pairs": pairs_of(structures),
        "recipe": {
            "plans": str(plans.get("plans_name")),
            "trainer": str(first.get("trainer_name")),
            "configuration": str(first.get("init_args", {}).get("configuration")),
            "folds": [fold.name for fold in folds],
        },
    }
    return write(wish, card, {"weights.safetensors": content}, lambda made: _verify(made))


def _verify(card: Card) -> None:
    load_folds(card)


def labels_of(data_set: Mapping[str, Any]) -> Sequence[str]:
    """Names of the outputs by number, ``background`` first.

    Raises:
        BundleError: ``add.plan-unsupported``: regions, or numbers that do not follow one another.
    """
    labels = {str(name): value for name, value in data_set.get("labels", {}).items() if name != "ignore"}
    numbers = list(labels.values())
    if not all(isinstance(number, int) for number in numbers):
        sentence = (
            "Its labels are regions that overlap, which is not supported; export a model of plain labels."
        )
        raise BundleError("add.plan-unsupported", sentence)
    by_number = sorted(labels, key=lambda name: labels[name])
    if sorted(numbers) != list(range(len(numbers))) or by_number[:1] != ["background"]:
        sentence = "Its labels are not numbered 0 (background), 1, 2 and so on."
        raise BundleError("add.plan-unsupported", sentence)
    return by_number


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sentence = f"{file.name} cannot be read ({type(error).__name__})."
        raise BundleError("add.plan-unreadable", sentence) from error
    if not isinstance(content, dict):
        raise BundleError("add.plan-unreadable", f"{file.name} is not a mapping.")
    return content
