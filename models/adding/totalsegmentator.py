"""One task of TotalSegmentator: a folder ``Dataset<number>_<name>`` that holds one nnU-Net results folder.

``totalsegmentator:TASK`` stands for the folder where TotalSegmentator keeps what it has downloaded. Nothing
is downloaded here, and nothing of TotalSegmentator's own code is run.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.adding.new_bundle import Wish
from models.adding.nnunet_folder import add_nnunet, is_nnunet
from models.cards.card import BundleError, Card

PREFIX: Final = "totalsegmentator:"
TABLE: Final = Path(__file__).with_name("totalsegmentator.yaml")
"""TG-263 names of the structures that TotalSegmentator finds on CT."""

_TASK: Final = re.compile(r"Dataset(\d+)_(.*)")
_NOT_RUN: Final = (
    "It was tested with a model of TotalSegmentator's layout only: the weights that TotalSegmentator "
    "publishes were not run by this project."
)


def is_totalsegmentator(path: Path) -> bool:
    """True for the folder of a task, as TotalSegmentator lays it into ``nnunet/results``."""
    named = path.is_dir() and _TASK.fullmatch(path.name) is not None
    return named and any(is_nnunet(each) for each in path.iterdir())


def add_totalsegmentator(wish: Wish) -> Card:
    """The bundle of one task; labels that ``wish.labels`` does not map have the names of :data:`TABLE`.

    Raises:
        BundleError: ``add.several``, or as :func:`models.adding.nnunet_folder.add_nnunet`.
    """
    found = [each for each in sorted(wish.path.iterdir()) if is_nnunet(each)]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise BundleError("add.several", f"This task holds several models; add one of them: {names}.")
    return add_nnunet(replace(wish, path=found[0], table=TABLE), _NOT_RUN)


def installed_task(task: str) -> Path:
    """The folder of a task that TotalSegmentator has downloaded.

    Args:
        task: name of its folder, the number in it, or the name after the number.

    Raises:
        BundleError: ``add.task-unknown``, with the tasks that there are.
    """
    results = results_folder()
    installed = sorted(results.glob("Dataset*_*")) if results.is_dir() else []
    tasks = {folder.name: folder for folder in installed if is_totalsegmentator(folder)}
    fitting = [folder for name, folder in tasks.items() if task in (name, *_named(name))]
    if len(fitting) != 1:
        there = ", ".join(tasks) or "none (TotalSegmentator's own totalseg_download_weights fetches them)"
        sentence = (
            f"There is no one task {task or 'without a name'} among those that TotalSegmentator has "
            f"downloaded: {there}. TOTALSEG_WEIGHTS_PATH or TOTALSEG_HOME_DIR names another folder."
        )
        raise BundleError("add.task-unknown", sentence)
    return fitting[0]


def results_folder() -> Path:
    """Where TotalSegmentator keeps its models, by its own environment variables."""
    weights = os.environ.get("TOTALSEG_WEIGHTS_PATH")
    if weights:
        return Path(weights)
    home = os.environ.get("TOTALSEG_HOME_DIR")
    return (Path(home) if home else Path.home() / ".totalsegmentator") / "nnunet" / "results"


def _named(folder: str) -> tuple[str, ...]:
    found = _TASK.fullmatch(folder)
    return () if found is None else found.groups()
