"""Every name that the project can write has been held against TG-263, and says what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from models.adding.totalsegmentator import TABLE as TOTALSEGMENTATOR
from models.second_look.between import APART
from models.synthetic_ct.structure_extents import EXTENTS
from models.tg263 import TABLE, side_of, standing_of
from models.training.recipes.recipe_book import read_recipe, recipe_names
from service.contouring.structure_names import KNOWN
from service.training_data.roi_names import RoiNames

HOUSE = Path(__file__).parents[2]
SITE = yaml.safe_load((HOUSE / "config.yaml").read_text(encoding="utf-8"))


def of_models() -> Iterator[tuple[str, str, bool]]:
    """Where a name stands, the name, and whether it is called local there."""
    for card in sorted((HOUSE / "models" / "bundles").glob("*/card.yaml")):
        content = yaml.safe_load(card.read_text(encoding="utf-8"))
        for name, said in content["structures"].items():
            yield card.parent.name, name, said.get("local_name", False)
    for said in yaml.safe_load(TOTALSEGMENTATOR.read_text(encoding="utf-8")).values():
        entry = said if isinstance(said, dict) else {"name": said}
        yield "totalsegmentator", entry["name"], entry.get("local_name", False)


def of_tables() -> Iterator[tuple[str, str]]:
    """Where a name stands, and the name."""
    for recipe in recipe_names():
        yield from ((recipe, name) for name in read_recipe(recipe).structures)
    for protocol in SITE["protocols"].values():
        yield from (("config.yaml", name) for name in protocol.get("structures") or ())
    tables = {"known": KNOWN, "extents": EXTENTS, "apart": APART, "roi names": RoiNames.read().known}
    for table, names in tables.items():
        yield from ((table, name) for name in names)


@pytest.mark.parametrize(("where", "name"), sorted(set(of_tables())))
def test_every_name_has_been_compared(where, name):
    assert standing_of(name) != "unchecked", where


@pytest.mark.parametrize(("where", "name", "local"), sorted(set(of_models())))
def test_what_models_offer_has_been_compared_and_is_called_local_where_it_is(where, name, local):
    assert standing_of(name) != "unchecked", where
    assert local == (standing_of(name) == "local")


def test_a_name_stands_once_and_fits_a_planning_system():
    content = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    names = [name for kind in ("primary", "target", "local") for name in content[kind]]
    assert len(names) == len({name.casefold() for name in names})
    assert all(len(name) <= 16 for name in names)
    assert content["worksheet"] == "20170815"


def test_what_nobody_compared_is_called_neither():
    assert standing_of("Lobulus_Novus") == "unchecked"


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("Kidney_L", "L"),
        ("Bone_Pelvic_R", "R"),
        ("VB_L", None),
        ("VB_L5", None),
        ("L", None),
        ("Colon", None),
    ],
)
def test_the_side_is_the_suffix_except_for_the_lumbar_vertebrae(name, side):
    assert side_of(name) == side
