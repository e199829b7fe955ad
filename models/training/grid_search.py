"""Every combination of a recipe's ranges, each trained, the best one kept (Liu X. 2024: rate and batch)."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

from models.cards.card import read_card
from models.cards.yaml_sections import plain
from models.training.learning.learner import Machine
from models.training.recipes.recipe import Recipe
from models.training.recipes.recipe_book import RecipeInvalid, recipe_of, with_value
from models.training.refusals import TrainingRefused
from models.training.train import train
from models.training.training_run import Trained, TrainingRun, Watcher

TABLE: Final = "grid.csv"
_RESULT: Final = "result.json"


def combinations(recipe: Recipe) -> Iterator[tuple[dict[str, Any], Recipe]]:
    """What each combination sets, and the recipe that it makes; the last range varies fastest.

    Raises:
        RecipeInvalid: ``recipe.no-grid``; ``recipe.invalid`` or ``recipe.setting`` if a value does not fit.
    """
    if not recipe.grid:
        sentence = (
            "The recipe names no ranges to search. Give some, for example "
            '--set "grid={optimiser.learning_rate: [1e-3, 1e-4], batch: [16, 32]}".'
        )
        raise RecipeInvalid("recipe.no-grid", sentence)
    for values in product(*recipe.grid.values()):
        chosen = dict(zip(recipe.grid, values, strict=True))
        content = plain(asdict(recipe)) | {"grid": {}}
        for key, value in chosen.items():
            with_value(content, key, value)
        yield chosen, recipe_of(content)


def grid_search(run: TrainingRun, machine: Machine, watcher: Watcher, *, resume: bool) -> Trained | None:
    """Train each combination in ``OUT/grid/<number>`` and copy the best bundle to ``OUT/bundle``.

    The best has the smallest validation loss or the highest validation DSC, as ``end.watch`` of the recipe
    says; of equals the first. ``OUT/grid.csv`` has a line for each; one that diverged has no value.
    Combinations that are done are not done again.

    Returns:
        the best; None if the search was paused, and in all processes but the first.

    Raises:
        RecipeInvalid: as :func:`combinations`.
        TrainingRefused: ``training.no-best``, no combination has a value; else as
            :func:`models.training.train.train`.
    """
    every = list(combinations(run.recipe))
    results: list[float | None] = []
    for number, (chosen, recipe) in enumerate(every):
        folder = run.out / "grid" / str(number)
        watcher.say(f"Combination {number + 1} of {len(every)}: {_words(chosen)}.")
        one = replace(run, recipe=recipe, out=folder, prepared=run.prepared or run.out / "prepared")
        if not (resume and (folder / _RESULT).exists()):
            _train_one(one, machine, watcher, resume=resume)
        if not (folder / _RESULT).exists():
            return None
        results.append(json.loads((folder / _RESULT).read_text())["watched"])
    order = [(value, number) for number, value in enumerate(results) if value is not None]
    if not order:
        sentence = "No combination gave a validation value: choose other ranges, or give validation cases."
        raise TrainingRefused("training.no-best", sentence)
    value, best = min(order)
    if not machine.processes.first:
        return None
    _write_table(run.out / TABLE, run.recipe, [chosen for chosen, _ in every], results, best)
    watcher.say(f"The best of {len(every)} is {_words(every[best][0])}.")
    shutil.rmtree(run.out / "bundle", ignore_errors=True)
    shutil.copytree(run.out / "grid" / str(best) / "bundle", run.out / "bundle")
    return Trained(read_card(run.out / "bundle" / "card.yaml"), value)


def _train_one(run: TrainingRun, machine: Machine, watcher: Watcher, *, resume: bool) -> None:
    """Train one combination; its result is written unless it was paused."""
    watched: float | None = None
    over = False
    try:
        trained = train(run, machine, watcher, resume=resume)
        over, watched = trained is not None, trained.watched if trained is not None else None
    except TrainingRefused as error:
        if error.code != "training.diverged":
            raise
        watcher.say(f"It diverged: {error}")
        over = machine.processes.first
    if over:
        (run.out / _RESULT).write_text(json.dumps({"watched": watched}))
    machine.processes.wait()


def _words(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in chosen.items())


def _write_table(
    file: Path, recipe: Recipe, every: Sequence[Mapping[str, Any]], results: Sequence[float | None], best: int
) -> None:
    """The watched value as people know it: a DSC is not negative."""
    sign = 1 if recipe.end.watch == "validation-loss" else -1
    with file.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["combination", *recipe.grid, recipe.end.watch, "best"])
        for number, (chosen, value) in enumerate(zip(every, results, strict=True)):
            shown = "" if value is None else f"{sign * value:.6f}"
            table.writerow([number, *chosen.values(), shown, "yes" if number == best else ""])
