"""What docs/networks.md says of each network is what the registry says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models.networks import NETWORKS
from models.training.recipes.recipe_book import recipe_names

PAPERS = {
    "xiao-2022": "Xiao 2022",
    "huang-2023": "Huang 2023",
    "liu-x-2024": "Liu X. 2024",
    "liu-z-2020": "Liu Z. 2020",
    "sartor-2020": "Sartor 2020",
}


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "networks.md").read_text()


@pytest.fixture(scope="module")
def rows(page: str) -> dict[str, list[str]]:
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"(?m)^\| `.*", page)
    ]
    return {cells[0].strip("`"): cells[1:] for cells in found}


def test_it_lists_every_network_once(page: str, rows: dict[str, list[str]]) -> None:
    assert sorted(rows) == sorted(NETWORKS)
    assert len(rows) == len(re.findall(r"(?m)^\| `", page))


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_the_registrys(name: str, rows: dict[str, list[str]]) -> None:
    entry, (dimensions, _, parameters, counts) = NETWORKS[name], rows[name]
    assert dimensions.startswith(f"{entry.dimensions}D")
    assert parameters == f"{entry.parameters:,}"
    assert counts == f"{entry.in_channels}, {entry.classes}"


@pytest.mark.parametrize("name", NETWORKS)
def test_papers_are_those_that_have_a_recipe(name: str, rows: dict[str, list[str]]) -> None:
    with_recipe = {key for key in PAPERS if f"{name}--{key}" in recipe_names()}
    printed = rows[name][1]
    assert with_recipe == {key for key, label in PAPERS.items() if label in printed}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_is_described_with_its_file(name: str, page: str, repository: Path) -> None:
    (paragraph,) = (each for each in page.split("\n\n") if each.startswith("**") and f"**`{name}`**" in each)
    files = re.findall(r"`(\w+\.py)`", paragraph)
    assert files
    assert any(f'"{name}": ' in (repository / "models/networks" / file).read_text() for file in files)
