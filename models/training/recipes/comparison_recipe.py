"""Recipes brought to common ground, so that networks differ in a comparison and nothing else does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from models.cards.card import Card
from models.cards.yaml_sections import plain
from models.data_sets.data_set import DataSet
from models.networks import NETWORKS
from models.training.recipes.recipe import Recipe
from models.training.recipes.recipe_book import RecipeInvalid, overridden, recipe_of

_BUDGET: Final = re.compile(r"(\d+(?:\.\d+)?) ?(steps|s|min|h)")
_HOURS: Final = {"s": 1 / 3600, "min": 1 / 60, "h": 1.0}


def on_common_ground(
    content: Mapping[str, Any],
    *,
    structures: Sequence[str] = (),
    budget: str | None = None,
    settings: Mapping[int | None, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """A recipe's content with what every recipe of a comparison is given in place of its own.

    Args:
        content: as its file says.
        structures: learned by all, by one network each; none keeps the recipe's own. Then sides that are
            learned as one and what is said of other structures go; weights of a loss become 1.
        budget: ``300s``, ``5min``, ``2h`` or ``200steps``, in place of the recipe's end and early stop.
        settings: ``key=value`` for networks of 2 dimensions, of 3, and for all (None), done in this order
            after the rest: all, then those of the network's dimensions.

    Raises:
        RecipeInvalid: ``recipe.setting``, ``recipe.network``, ``compare.budget``, or the recipe is wrong.
    """
    changed = overridden(content, ())
    if structures:
        _learn(changed, list(structures))
    if budget is not None:
        end = changed.get("end", {})
        kept = {key: end[key] for key in ("watch", "keep") if key in end}
        changed["end"] = kept | _end(budget)
    given = settings or {}
    changed = overridden(changed, given.get(None, ()))
    changed = overridden(changed, given.get(dimensions_of(recipe_of(changed).network.name), ()))
    recipe_of(changed)
    return changed


def dimensions_of(network: str) -> int:
    """2 or 3.

    Raises:
        RecipeInvalid: ``recipe.network``.
    """
    if network not in NETWORKS:
        raise RecipeInvalid("recipe.network", f"No network is called {network}.")
    return NETWORKS[network].dimensions


def is_trained(card: Card, recipe: Recipe, data: DataSet) -> bool:
    """Whether a bundle is what this recipe makes of this data set."""
    wanted = {key: value for key, value in asdict(recipe).items() if key != "published"}
    return card.recipe == plain(wanted) and any(
        source.fingerprint == data.fingerprint for source in card.training
    )


def _learn(content: dict[str, Any], structures: list[str]) -> None:
    content["structures"] = structures
    content["left_right"] = {}
    content.get("network", {}).pop("apart", None)
    for key in ("postprocess", "extents"):
        content[key] = {name: each for name, each in content.get(key, {}).items() if name in structures}
    if "candidates" not in (content.get("thresholds") or {}):
        content["thresholds"] = None
    arguments = content.get("loss", {}).get("arguments", {})
    if "weights" in arguments:
        background = content.get("activation", "softmax") == "softmax"
        arguments["weights"] = [1.0] * (len(structures) + background)


def _end(budget: str) -> dict[str, Any]:
    found = _BUDGET.fullmatch(budget.strip())
    if found is None or float(found[1]) == 0:
        sentence = (
            f"A budget is so many steps or so much time, as in 200steps, 300s, 5min, 2h; found {budget!r}."
        )
        raise RecipeInvalid("compare.budget", sentence)
    if found[2] == "steps":
        return {"steps": int(float(found[1]))}
    return {"hours": float(found[1]) * _HOURS[found[2]]}
