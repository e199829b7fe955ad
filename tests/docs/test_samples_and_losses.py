"""The page on samples and losses names every augmentation and every loss, with its arguments, and no others."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from models.training.losses.losses import LOSSES
from models.training.recipes.recipe import Sampling
from models.training.samples.augmentation import AUGMENTATIONS


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs/samples-and-losses.md").read_text()


def table(page: str, heading: str) -> Mapping[str, list[str]]:
    """First column to the other cells of the first table under ``## heading``."""
    part = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def test_every_augmentation_with_its_arguments(page: str) -> None:
    said = table(page, "Augmentation")
    assert list(said) == list(AUGMENTATIONS)
    for name, kind in AUGMENTATIONS.items():
        assert dataclasses.is_dataclass(kind)
        own = {field.name for field in dataclasses.fields(kind)} - {"probability"}
        assert set(re.findall(r"`(\w+)[:`]", said[name][0])) - {"x", "probability"} == own


def test_every_loss_with_its_activation_and_arguments(page: str) -> None:
    said = table(page, "Losses")
    assert set(said) == set(LOSSES)
    for name, entry in LOSSES.items():
        activation, arguments, _ = said[name]
        assert set(entry.by_activation) == ({"softmax", "sigmoid"} if activation == "both" else {activation})
        for function in entry.by_activation.values():
            parameters = inspect.signature(function).parameters.values()
            own = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
            assert set(re.findall(r"`(\w+)`", arguments)) == own
            defaults = [each.default for each in parameters if each.kind is each.KEYWORD_ONLY]
            numbers = [float(text) for text in re.findall(r"\((-?[\d.]+)\)", arguments)]
            assert numbers == [value for value in defaults if value is not inspect.Parameter.empty]


def test_every_key_of_sampling(page: str) -> None:
    assert list(table(page, "Which samples")) == [field.name for field in dataclasses.fields(Sampling)]
