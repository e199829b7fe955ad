"""A training run from its settings to a bundle: lessons, training, thresholds, figures, card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from models.cards.weights import load_weights
from models.cards.yaml_sections import plain
from models.data_sets.data_set import DataSet
from models.networks import network_of
from models.training.bundles.bundle_writer import write_yaml
from models.training.finishing import finished
from models.training.learning.curves import draw_curves
from models.training.learning.learner import Learner, Machine
from models.training.learning.trainer import Trainer
from models.training.recipes.recipe_book import RecipeInvalid
from models.training.refusals import TrainingRefused
from models.training.samples.data_lessons import DataLessons
from models.training.synthetic.lessons import SyntheticLessons
from models.training.synthetic.run import Synthetic
from models.training.training_run import Trained, TrainingRun, Watcher

MAY_CHANGE: Final = ("choices", "end", "extents", "grid", "postprocess", "published", "summary", "validation")
"""Sections of a recipe that a run may be resumed with other values of: no step depends on them alone."""


def train(run: TrainingRun, machine: Machine, watcher: Watcher, *, resume: bool) -> Trained | None:
    """Train, choose thresholds, measure and write ``OUT/bundle``.

    Args:
        run: what to do.
        machine: what to do it on.
        watcher: who looks at it.
        resume: go on from the checkpoint in ``run.out`` if there is one.

    Returns:
        the result; None if the run was paused, and in all processes but the first.

    Raises:
        TrainingRefused: ``training.*``, ``checkpoint.*``, ``bundle.*``.
        RecipeInvalid: the recipe names a network, loss or augmentation that is not there, or wrong arguments.
        DataSetInvalid: the data set cannot be used.
        BundleError: the bundle to start from cannot.
    """
    if (run.out / "checkpoint").exists() and not resume:
        sentence = "This folder holds a training run; go on with --resume, or name another folder."
        raise TrainingRefused("training.folder-taken", sentence)
    data = DataSet.open(run.data) if isinstance(run.data, Path) else None
    network = _first_network(run)
    lessons = _lessons(run, data, machine, watcher)
    try:
        trainer = Trainer(
            Learner(run.recipe, network, machine, run.seed), lessons, run.out, _identity(run, data)
        )
        over = _trained(run, trainer, watcher)
    finally:
        lessons.close()
    found = None
    if machine.processes.first:
        missing = draw_curves(run.out)
        if missing is not None:
            watcher.say(missing)
        found = Trained(finished(run, trainer, data, watcher), trainer.watch.best) if over else None
    machine.processes.wait()
    return found


def _first_network(run: TrainingRun) -> nn.Module:
    """With the weights that the run begins with, the same in every process."""
    torch.manual_seed(run.seed)
    recipe = run.recipe
    channels = len(recipe.input.channels) * recipe.input.context_slices
    try:
        network = network_of(recipe.network, in_channels=channels, outputs=len(recipe.outputs))
    except (KeyError, TypeError, ValueError) as error:
        sentence = f"The recipe asks for a network that cannot be built: {error}."
        raise RecipeInvalid("recipe.network", sentence) from error
    if run.start_from is not None and run.with_weights:
        other = run.start_from.outputs
        if other != recipe.outputs:
            sentence = (
                f"{run.start_from.reference} knows the classes {', '.join(other)}, and the recipe asks for "
                f"{', '.join(recipe.outputs)}. Leave structures as the bundle has them, or start --fresh."
            )
            raise TrainingRefused("training.other-classes", sentence)
        load_weights(run.start_from, network)
    return network


def _lessons(
    run: TrainingRun, data: DataSet | None, machine: Machine, watcher: Watcher
) -> DataLessons | SyntheticLessons:
    if isinstance(run.data, Synthetic):
        return run.data.lessons(run.recipe, run.out / "samples", run.seed, machine)
    assert data is not None  # noqa: S101 - for the type checker: a path was opened
    folder = run.prepared or run.out / "prepared"
    return DataLessons(data, run.recipe, folder, run.seed, machine, watcher.prepare)


def _identity(run: TrainingRun, data: DataSet | None) -> dict[str, Any]:
    """What a checkpoint must agree in with the run that resumes it."""
    recipe = {key: value for key, value in asdict(run.recipe).items() if key not in MAY_CHANGE}
    return {
        "recipe": plain(recipe),
        "class list": list(run.recipe.outputs),
        "data set": data.fingerprint if data is not None else None,
        "synthetic samples": run.data.identity() if isinstance(run.data, Synthetic) else None,
        "seed": run.seed,
    }


def _trained(run: TrainingRun, trainer: Trainer, watcher: Watcher) -> bool:
    """Train to the end, True, or to a pause."""
    if trainer.resume():
        watcher.say(f"Going on after step {trainer.progress.step}.")
    elif trainer.learner.machine.processes.first:
        run.out.mkdir(parents=True, exist_ok=True)
        write_yaml(run.out / "recipe.yaml", asdict(run.recipe))
    large = trainer.learner.state.large_bytes
    if large:
        watcher.say(f"This network is so large that a checkpoint of the run takes {large / 1e6:.0f} MB.")
    return trainer.run(watcher.report, watcher.pause)
