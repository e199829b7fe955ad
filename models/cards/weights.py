"""Weights as safetensors: read only if the card names them by hash; written so that it can."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from models.cards.card import BundleError, Card, WeightsCard
from models.cards.catalog import verified_bytes


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


def stored(state: Mapping[str, Tensor], dtype: torch.dtype = torch.float16) -> dict[str, Tensor]:
    """A copy of a state dict on the CPU, as a bundle stores it.

    Floating-point numbers become ``dtype``, but not the running statistics of batch norm, whose variances
    may be anything, nor a tensor with a number that ``dtype`` cannot hold; counters stay as they are.
    """
    return {name: _stored(name, tensor.detach().cpu(), dtype) for name, tensor in state.items()}


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.clone().contiguous()
    short = tensor.to(dtype, copy=True).contiguous()
    fits = torch.equal(short.isfinite(), tensor.isfinite())
    return short if fits and not _is_statistic(name) else tensor.float().clone().contiguous()


def _is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def save_weights(state: Mapping[str, Tensor], file: Path, dtype: torch.dtype = torch.float16) -> WeightsCard:
    """Write a state dict to ``file`` in ``dtype`` (see `stored`); what the card must say of it."""
    tensors = stored(state, dtype)
    content = save(tensors)
    file.write_bytes(content)
    parameters = sum(tensor.numel() for name, tensor in tensors.items() if not _is_statistic(name))
    kind = str(dtype).removeprefix("torch.")
    return WeightsCard(file.name, hashlib.sha256(content).hexdigest(), kind, parameters)
