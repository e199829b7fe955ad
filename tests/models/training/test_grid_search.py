import csv
import json

import numpy as np
import pytest
from small_cases import block, case_of, data_of

from models.training.grid_search import combinations, grid_search
from models.training.learning.learner import Machine
from models.training.recipes.recipe_book import RecipeInvalid, overridden, recipe_of
from models.training.refusals import TrainingRefused
from models.training.training_run import TrainingRun, Watcher

SHAPE = (4, 16, 16)
MASK = block((0, 4), (4, 12), (4, 12), shape_zyx=SHAPE)
CONTENT = {
    "name": "grid--nobody",
    "summary": "for tests",
    "network": {"name": "resau-net", "arguments": {"width": 0.05}},
    "structures": ["Bladder"],
    "activation": "sigmoid",
    "input": {
        "spacing_zyx_mm": [None, None, None],
        "patch_zyx": [1, 16, 16],
        "channels": [{"clip_hu": [-1000, 1000], "divide_hu": 500}],
    },
    "loss": {"name": "binary-cross-entropy"},
    "optimiser": {"name": "sgd", "learning_rate": 0.1},
    "end": {"epochs": 1},
    "batch": 2,
    "grid": {"optimiser.learning_rate": [0.01, 1e-9], "batch": [2, 4]},
}


def run_of(tmp_path, *settings):
    hu = (1000 * MASK).astype(np.int16)
    if not (tmp_path / "data").exists():
        data_of(
            tmp_path / "data", [case_of(n, {"Bladder": MASK}, hu) for n in (1, 2)], ["train", "validation"]
        )
    recipe = recipe_of(overridden(CONTENT, settings))
    return TrainingRun(recipe=recipe, out=tmp_path / "run", data=tmp_path / "data")


def search(run, *, resume=False, **watcher):
    return grid_search(run, Machine(), Watcher(**watcher), resume=resume)


def test_combinations_are_every_pair_in_order():
    every = list(combinations(recipe_of(CONTENT)))
    assert [tuple(chosen.values()) for chosen, _ in every] == [(0.01, 2), (0.01, 4), (1e-9, 2), (1e-9, 4)]
    assert [(r.optimiser.learning_rate, r.batch) for _, r in every] == [tuple(c.values()) for c, _ in every]
    assert all(recipe.grid == {} for _, recipe in every)


@pytest.mark.parametrize(
    ("grid", "code"),
    [
        ("grid={}", "recipe.no-grid"),
        ("grid={nothing: [1]}", "recipe.invalid"),
        ("grid={batch: [0]}", "recipe.invalid"),
    ],
)
def test_ranges_that_make_no_recipe_are_refused(grid, code):
    with pytest.raises(RecipeInvalid) as refusal:
        list(combinations(recipe_of(overridden(CONTENT, [grid]))))
    assert refusal.value.code == code


def test_the_best_combination_is_kept_and_what_is_done_is_not_done_again(tmp_path):
    settings = "grid={optimiser.learning_rate: [1e-9, 0.01, 1e30]}"
    paused = search(run_of(tmp_path, settings), pause=lambda step: (tmp_path / "run" / "grid" / "1").exists())
    assert paused is None
    assert (tmp_path / "run" / "grid" / "0" / "result.json").exists()
    assert not (tmp_path / "run" / "bundle").exists()
    first_bundle = tmp_path / "run" / "grid" / "0" / "bundle" / "card.yaml"
    made = first_bundle.stat().st_mtime_ns
    said = []
    found = search(run_of(tmp_path, settings), resume=True, say=said.append)
    assert first_bundle.stat().st_mtime_ns == made
    with (tmp_path / "run" / "grid.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["best"] for row in rows] == ["", "yes", ""]
    assert float(rows[1]["validation-loss"]) < float(rows[0]["validation-loss"])
    assert rows[2]["validation-loss"] == "", "it diverged"
    assert (
        found.watched == json.loads((tmp_path / "run" / "grid" / "1" / "result.json").read_text())["watched"]
    )
    assert found.card.folder == tmp_path / "run" / "bundle"
    assert found.card.recipe["optimiser"]["learning_rate"] == 0.01
    assert said[-1] == "The best of 3 is optimiser.learning_rate 0.01."


def test_a_search_in_which_all_diverge_has_no_best(tmp_path):
    with pytest.raises(TrainingRefused) as refusal:
        search(run_of(tmp_path, "grid={optimiser.learning_rate: [1e30]}"))
    assert refusal.value.code == "training.no-best"
