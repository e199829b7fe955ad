"""Recipes by name or file, with what was overridden on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import yaml

from models.cards.card import Card
from models.cards.yaml_sections import SectionInvalid, parsed, section
from models.training.recipes.recipe import Recipe

RECIPES: Final = Path(__file__).parents[2] / "recipes"
"""The recipes that come with the project, ``<network>--<paper>.yaml``."""


class RecipeInvalid(ValueError):
    """There is no such recipe, or it cannot be followed; ``code`` is stable, the message is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def recipe_names() -> tuple[str, ...]:
    """Of every recipe that comes with the project, sorted."""
    return tuple(sorted(file.stem for file in RECIPES.glob("*.yaml")))


def recipe_content(name_or_file: str) -> dict[str, Any]:
    """What the file of a recipe says, before it is read into its sections.

    Raises:
        RecipeInvalid: ``recipe.unknown``, ``recipe.unreadable``.
    """
    file = RECIPES / f"{name_or_file}.yaml" if name_or_file in recipe_names() else Path(name_or_file)
    if not file.is_file():
        sentence = (
            f"There is no recipe {name_or_file}; name a file or one of these: {', '.join(recipe_names())}."
        )
        raise RecipeInvalid("recipe.unknown", sentence)
    try:
        content = parsed(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        sentence = f"The recipe {file.name} cannot be read as YAML ({type(error).__name__})."
        raise RecipeInvalid("recipe.unreadable", sentence) from error
    if not isinstance(content, dict):
        raise RecipeInvalid("recipe.unreadable", f"The recipe {file.name} is not a mapping of keys.")
    return content


def read_recipe(name_or_file: str, settings: Sequence[str] = ()) -> Recipe:
    """A recipe with ``settings`` (``key=value`` each) in place of what its file says.

    Raises:
        RecipeInvalid: as :func:`recipe_content`, :func:`overridden`, and ``recipe.invalid``.
    """
    return recipe_of(overridden(recipe_content(name_or_file), settings))


def recipe_of(content: Mapping[str, Any]) -> Recipe:
    """The recipe that ``content`` says.

    Raises:
        RecipeInvalid: ``recipe.invalid``, with the key that is wrong.
    """
    try:
        return section(Recipe, content, "recipe")
    except SectionInvalid as error:
        raise RecipeInvalid("recipe.invalid", str(error)) from error


def overridden(content: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """``content`` with each setting ``input.spacing_zyx_mm=[3, 3, 3]`` done: a dotted key and a YAML value.

    A number in a key is a place in a list: ``augmentation.0.arguments.degrees=10``. Other ``structures`` take
    along what is said of those that are gone.

    Raises:
        RecipeInvalid: ``recipe.setting``, it is no ``key=value``, or goes through a key that holds no keys.
    """
    changed: dict[str, Any] = _copy(content)
    for setting in settings:
        key, equals, text = setting.partition("=")
        try:
            value = parsed(text)
        except yaml.YAMLError as error:
            sentence = f"The value in {setting!r} is not YAML."
            raise RecipeInvalid("recipe.setting", sentence) from error
        if not equals or not key:
            sentence = f"A setting is KEY=VALUE, for example optimiser.learning_rate=1e-4; found {setting!r}."
            raise RecipeInvalid("recipe.setting", sentence)
        with_value(changed, key, value)
        if key == "structures":
            _without_what_is_gone(changed)
    return changed


def as_bundle(content: Mapping[str, Any], card: Card) -> dict[str, Any]:
    """``content`` with the network, input and outputs of a bundle, so that its weights fit.

    Raises:
        RecipeInvalid: ``recipe.no-network``, the bundle is a program.
    """
    if card.network is None or card.input is None:
        sentence = f"{card.reference} is no network, so nothing can be trained from it."
        raise RecipeInvalid("recipe.no-network", sentence)
    learned = [name for name in card.outputs if name != "background"]
    structures = [side for name in learned for side in card.left_right.get(name, (name,))]
    shown: dict[str, Any] = _copy(asdict(card.input))
    del shown["orientation"]
    changed: dict[str, Any] = _copy(content)
    of_bundle = {
        "network": _copy(asdict(card.network)),
        "input": shown,
        "activation": card.activation,
        "structures": structures,
        "left_right": _copy(card.left_right),
    }
    return _without_what_is_gone(changed | of_bundle)


def _without_what_is_gone(content: dict[str, Any]) -> dict[str, Any]:
    """``content`` without what it says of structures that it no longer has."""
    left = content.get("structures")
    if isinstance(left, list):
        for key in ("postprocess", "extents"):
            said = content.get(key) or {}
            content[key] = {name: value for name, value in said.items() if name in left}
        pairs = content.get("left_right") or {}
        content["left_right"] = {both: sides for both, sides in pairs.items() if set(sides) <= set(left)}
    return content


def with_value(content: dict[str, Any], key: str, value: Any) -> None:  # noqa: ANN401 - any YAML value
    """Put ``value`` at the dotted ``key`` of ``content``; sections on the way that are missing are made.

    Raises:
        RecipeInvalid: ``recipe.setting``.
    """
    *way, last = key.split(".")
    here: Any = content
    for at, part in enumerate(way):
        if isinstance(here, dict) and here.get(part) is None:
            here[part] = {}
        here = _entry(here, part, ".".join(way[: at + 1]))
    if isinstance(here, dict):
        here[last] = value
    else:
        _entry(here, last, key)
        here[int(last)] = value


def _entry(here: Any, part: str, key: str) -> Any:  # noqa: ANN401
    if isinstance(here, dict):
        return here[part]
    if isinstance(here, list) and part.isdigit() and int(part) < len(here):
        return here[int(part)]
    raise RecipeInvalid("recipe.setting", f"The recipe has nothing at {key}.")


def _copy(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value
