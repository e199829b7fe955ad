"""Reading a pickled checkpoint: with ``weights_only`` and the few globals below, all else only on trust."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from models.cards.card import BundleError

_NUMBER: Final[Any] = np.float64(0).__reduce__()[0]  # how numpy pickles a number

ALLOWED: Final = (
    _NUMBER,
    (_NUMBER, "numpy.core.multiarray.scalar"),  # as numpy 1 called it
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
    type(np.dtype(np.int64)),
)
"""What a checkpoint may name beside tensors: numbers of numpy, which logs of training hold."""


def read_checkpoint(file: Path, *, trust: bool, told: Callable[[str], None]) -> dict[str, Any]:
    """What a checkpoint holds.

    Args:
        file: written by ``torch.save``.
        trust: unpickle whatever it is, which runs code that it names.
        told: hears ``checkpoint-unpickled`` where that was done.

    Raises:
        BundleError: ``add.needs-trust`` or ``add.checkpoint-unreadable``.
    """
    try:
        try:
            with torch.serialization.safe_globals(list(ALLOWED)):
                content = torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not trust:
                sentence = (
                    f"{file.name} names objects that are neither tensors nor numbers. Only if you trust "
                    "whoever made it: --trust runs what it names, once."
                )
                raise BundleError("add.needs-trust", sentence) from error
            told("checkpoint-unpickled")
            content = torch.load(file, map_location="cpu", weights_only=False)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        sentence = f"{file.name} is no checkpoint of PyTorch ({type(error).__name__})."
        raise BundleError("add.checkpoint-unreadable", sentence) from error
    if not isinstance(content, dict):
        raise BundleError("add.checkpoint-unreadable", f"{file.name} holds no state of a network.")
    return content
