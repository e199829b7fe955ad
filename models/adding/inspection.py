"""What a path holds, and which way of adding it follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from models.adding.monai_bundle import add_monai, is_monai
from models.adding.new_bundle import Wish
from models.adding.nnunet_folder import add_nnunet, is_nnunet
from models.adding.torchscript_file import add_torchscript
from models.adding.totalsegmentator import (
    PREFIX,
    add_totalsegmentator,
    installed_task,
    is_totalsegmentator,
)
from models.cards.card import BundleError, Card

_TORCHSCRIPT: Final = (".ts", ".torchscript", ".pt", ".jit")


def add(wish: Wish) -> Card:
    """Make a bundle of whatever ``wish.path`` is; its card.

    Raises:
        BundleError: ``add.unknown-kind``, or what is wrong with it; nothing is left behind.
    """
    return _way(wish.path)(wish)


def place_of(text: str) -> Path:
    """The path that a person named, or the folder of ``totalsegmentator:TASK``.

    Raises:
        BundleError: ``add.task-unknown``.
    """
    return installed_task(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else Path(text)


def _way(path: Path) -> Callable[[Wish], Card]:
    if path.is_file() and path.suffix in _TORCHSCRIPT:
        return add_torchscript
    if is_nnunet(path):
        return add_nnunet
    if is_monai(path):
        return add_monai
    if is_totalsegmentator(path):
        return add_totalsegmentator
    sentence = (
        f"{path.name} is no model that can be added: a TorchScript file, an nnU-Net results "
        "folder, a MONAI bundle, or the folder of one task of TotalSegmentator."
    )
    raise BundleError("add.unknown-kind", sentence)
