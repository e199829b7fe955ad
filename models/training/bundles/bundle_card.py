"""The card of a new bundle: from its recipe, its data, and the bundle that it may have started from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import yaml

from models.cards.card import Card
from models.cards.input_card import InputCard
from models.data_sets.data_set import DataSet
from models.tg263 import standing_of
from models.training.bundles.structure_habits import Habits
from models.training.recipes.recipe import Recipe

_ON_THE_MIDLINE: Final = ("Sacrum", "Spine", "SpinalCanal", "SpinalCord")
_UNSAID: Final = "as drawn in the training data, whose source did not say from where to where"
_INTENDED: Final = (
    "Research and commissioning. Starting contours for review by a clinician; never to be used unreviewed."
)
_LIMITS: Final = (
    "It was measured on cases of its own data set at most, which is no evidence for another scanner, "
    "protocol or clinic.",
    "It does not recognise a CT of another part of the body; send it only what it was trained on.",
    "What lies beyond the ranges of the training cases (volume_cm3: half of the smallest to twice the "
    "largest; statistics) is reported; whatever else is unusual is not.",
)


def new_card(  # noqa: PLR0913 - what a card is made of, each by its name
    recipe: Recipe,
    shown: InputCard,
    *,
    name: str,
    version: str,
    habits: Mapping[str, Habits],
    data: DataSet | None,
    template: Card | None = None,
) -> dict[str, Any]:
    """What ``card.yaml`` says, without weights and figures.

    Args:
        recipe: that was followed.
        shown: its input with the channels' numbers.
        name, version: of the bundle.
        habits: of the structures, from the training cases.
        data: what it learned from, or None where there was no data set.
        template: a bundle whose structures, checks and words are repeated where the data do not say
            otherwise. Offered is then what it offers and the recipe learns, and what the data know.
    """
    old = _content(template)
    learned = {s for s, seen in habits.items() if seen.known}
    offered = [s for s in recipe.structures if template is None or s in {*template.structures, *learned}]
    extents = dict(data.contents.structures) if data is not None else {}
    structures = {
        s: _structure(recipe, s, extents.get(s, ""), habits.get(s), old.get("structures", {}).get(s))
        for s in offered
    }
    sources = [*old.get("training", ())]
    if data is not None:
        sources = [source for source in sources if source.get("fingerprint") != data.fingerprint]
        sources.append(_source(data))
    named = {*recipe.structures, *recipe.outputs}
    region = old.get("region")
    known = region is not None and all(s in named for s in _structures_of(region))
    pairs = [[f"{s[:-2]}_L", f"{s[:-2]}_R"] for s in offered if s.endswith("_L") and f"{s[:-2]}_R" in offered]
    return {
        "name": name,
        "version": version,
        "kind": "network",
        "summary": old.get("summary", recipe.summary),
        "intended_use": old.get("intended_use", _INTENDED),
        "licence": old.get("licence", _licence(data)),
        "validated": False,
        "validation": _validation(data),
        "network": asdict(recipe.network),
        "input": asdict(shown),
        "outputs": list(recipe.outputs),
        "activation": recipe.activation,
        "left_right": {both: list(sides) for both, sides in recipe.left_right.items()},
        "structures": structures,
        "pairs": pairs,
        "midline": [s for s in _ON_THE_MIDLINE if s in offered],
        "region": region if known else None,
        "training": sources,
        "limits": [*(old.get("limits", ()) if data is None else _LIMITS)],
        "recipe": {key: value for key, value in asdict(recipe).items() if key != "published"},
    }


def _content(template: Card | None) -> dict[str, Any]:
    if template is None:
        return {}
    content: dict[str, Any] = yaml.safe_load((template.folder / "card.yaml").read_text(encoding="utf-8"))
    return content


def _structure(
    recipe: Recipe, name: str, extent: str, habits: Habits | None, old: Mapping[str, Any] | None
) -> dict[str, Any]:
    said = dict(old or {})
    if habits is not None and habits.known:
        said |= {
            "volume_cm3": list(habits.range_cm3),
            "may_be_absent": habits.absent > 0,
            "several_parts": habits.several_parts,
            "reaches_out": habits.reaches_out,
        }
    elif not said:
        said |= {"volume_cm3": [0.0, 20_000.0], "may_be_absent": True}
    said["extent"] = extent or recipe.extents.get(name) or said.get("extent") or _UNSAID
    if standing_of(name) == "local":
        said["local_name"] = True
    if name in recipe.postprocess:
        said["postprocess"] = asdict(recipe.postprocess[name])
    return said


def _source(data: DataSet) -> dict[str, Any]:
    part = data.names("train")
    patients = {data.entry(name).patient for name in part}
    return {
        "name": f"Data set {data.fingerprint[:12]}",
        "licence": data.contents.licence or "not stated",
        "what": f"{data.contents.source}; {len(part)} training cases of {len(patients)} patients",
        "fingerprint": data.fingerprint,
    }


def _licence(data: DataSet | None) -> str:
    if data is None or not data.contents.licence:
        return "The weights carry the terms of what they were trained on, and nobody stated these. Ask first."
    return (
        "The weights carry the terms of what they were trained on. Check them before any use: "
        f"{data.contents.licence}."
    )


def _validation(data: DataSet | None) -> str:
    if data is None:
        return "synthetic data only"
    return "held-out cases of the training data set only; not commissioned"


def _structures_of(region: Mapping[str, Any]) -> list[str]:
    evidence = [each for key in ("required", "supporting", "whole") for each in region.get(key, ())]
    return [name for each in evidence for name in each["structures"]]
