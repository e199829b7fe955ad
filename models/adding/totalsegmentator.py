"""One task of TotalSegmentator: a folder ``Dataset<number>_<name>`` that holds one nnU-Net results folder."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.adding.new_bundle import Wish
from models.adding.nnunet_folder import add_nnunet, is_nnunet
from models.card import BundleError, Card

_TASK: Final = re.compile(r"Dataset\d+_.*")
_NOT_RUN: Final = (
    "It was tested with a model of TotalSegmentator's layout only: the weights that TotalSegmentator "
    "publishes were not run by this project."
)


def is_totalsegmentator(path: Path) -> bool:
    """True for the folder of a task, as TotalSegmentator lays it into ``nnunet/results``."""
    named = path.is_dir() and _TASK.fullmatch(path.name) is not None
    return named and any(is_nnunet(each) for each in path.iterdir())


def add_totalsegmentator(wish: Wish) -> Card:
    """The bundle of one task.

    Raises:
        BundleError: ``add.several``, or as :func:`models.adding.nnunet_folder.add_nnunet`.
    """
    found = [each for each in sorted(wish.path.iterdir()) if is_nnunet(each)]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise BundleError("add.several", f"This task holds several models; add one of them: {names}.")
    return add_nnunet(replace(wish, path=found[0]), _NOT_RUN)
