"""Weights as safetensors: read only if the card names them by hash; written so that it can."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from models.card import BundleError, Card, WeightsCard
from models.catalog import verified_bytes


def load_weights(card: Card, network: nn.Module) -> str:
    """Put the bundle's weights into ``network``, as float32; their SHA-256 in hex.

    Raises:
        BundleError: ``model.file-missing``, ``model.hash-mismatch``, or ``model.weights-do-not-fit`` if the
            network that the card describes has other parameters.
    """
    if card.weights is None:
        raise BundleError("model.card-invalid", f"{card.reference} has no weights.")
    content = verified_bytes(card.folder / card.weights.file, card.weights.sha256, card.reference)
    try:
        tensors = load(content)
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=True)
    except (SafetensorError, RuntimeError) as error:
        sentence = f"The weights of {card.reference} do not fit the network that its card describes."
        raise BundleError("model.weights-do-not-fit", sentence) from error
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        sentence = f"The weights of {card.reference} hold numbers that are not finite."
        raise BundleError("model.weights-do-not-fit", sentence)
    return hashlib.sha256(content).hexdigest()


def save_weights(state: Mapping[str, Tensor], file: Path, dtype: torch.dtype = torch.float16) -> WeightsCard:
    """Write a state dict to ``file`` in ``dtype``; what the card must say of it."""
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()}
    content = save(tensors)
    file.write_bytes(content)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    kind = str(dtype).removeprefix("torch.")
    return WeightsCard(file.name, hashlib.sha256(content).hexdigest(), kind, parameters)
