"""The end of a run: thresholds, the bundle, and its figures."""

from __future__ import annotations

from typing import Any, Final

from models.cards.card import Card
from models.data_sets.data_set import DataSet
from models.evaluation.evaluation import evaluate, setting_of
from models.evaluation.summary import over_cases
from models.networks import network_of
from models.predictor import load
from models.training.bundles.bundle_card import new_card
from models.training.bundles.bundle_writer import with_figures, write_bundle
from models.training.bundles.card_statistics import measured_statistics, with_statistics
from models.training.bundles.structure_habits import habits_of
from models.training.learning.trainer import Trainer
from models.training.recipes.recipe import ThresholdChoice
from models.training.samples.data_lessons import DataLessons
from models.training.synthetic.lessons import SyntheticLessons
from models.training.synthetic.run import PHANTOM_SOURCE, Synthetic
from models.training.thresholds import chosen_thresholds
from models.training.training_run import TrainingRun, Watcher

_LOOKED_AT: Final = 60
"""Training cases whose looks are written into the card; the model is run once on each."""


def finished(run: TrainingRun, trainer: Trainer, data: DataSet | None, watcher: Watcher) -> Card:
    """Write the bundle and measure it."""
    recipe, lessons, machine = run.recipe, trainer.lessons, trainer.learner.machine
    assert isinstance(lessons, DataLessons | SyntheticLessons)  # noqa: S101 - for the type checker
    network = network_of(recipe.network, in_channels=lessons.input.in_channels, outputs=len(recipe.outputs))
    network.load_state_dict({name: each.float() for name, each in trainer.learner.weights().items()})
    network.to(machine.device).eval()
    thresholds = recipe.thresholds
    if isinstance(thresholds, ThresholdChoice) and isinstance(lessons, DataLessons):
        watcher.say("Choosing thresholds on the validation cases.")
        thresholds = chosen_thresholds(lessons, network, recipe.outputs, thresholds.candidates)
    habits = habits_of((data.read(name) for name in data.names("train")), recipe.structures) if data else {}
    name, version = run.reference
    content = new_card(
        recipe,
        lessons.input,
        name=name,
        version=version,
        habits=habits,
        data=data,
        template=run.start_from,
    )
    if isinstance(run.data, Synthetic) and run.data.phantom_seeds[0] < run.data.phantom_seeds[1]:
        content["training"] = [s for s in content["training"] if s["name"] != PHANTOM_SOURCE["name"]]
        content["training"].append(PHANTOM_SOURCE)
    content["thresholds"] = thresholds if isinstance(thresholds, dict) else {}
    card = write_bundle(run.out / "bundle", content, trainer.learner.weights())
    figures: dict[str, Any] = {"stage": _stage(run, trainer), "seed": run.seed}
    if recipe.validation.bundle:
        watcher.say("Measuring the bundle.")
        if isinstance(run.data, Synthetic):
            figures |= run.data.figures(network, recipe, lessons.input)
        elif data is not None:
            figures |= _measured(card, data, str(machine.device))
    card = with_figures(card, figures)
    if data is None or not recipe.validation.bundle:
        return card
    watcher.say("Measuring what the training cases look like.")
    device = str(machine.device)
    return with_statistics(card, measured_statistics(card, data, "train", device=device, most=_LOOKED_AT))


def _stage(run: TrainingRun, trainer: Trainer) -> str:
    progress, machine = trainer.progress, trainer.learner.machine
    origin = run.start_from.reference if run.start_from and run.with_weights else "fresh weights"
    return (
        f"{progress.step} steps of {run.recipe.batch} samples ({progress.epoch:.1f} epochs) on "
        f"{machine.device.type} in {machine.precision}, {progress.seconds / 3600:.2f} hours, from {origin}"
    )


def _measured(card: Card, data: DataSet, device: str) -> dict[str, Any]:
    """DSC on the validation and test parts, as the node would deliver."""
    found: dict[str, Any] = {
        "metric": "mean DSC of what the node would deliver, on the CT's own grid; see delineate evaluate"
    }
    predictor = load(card, device)
    for part in ("validation", "test"):
        if data.names(part):
            setting = setting_of(card, data, part, 0.0, device)
            evaluation = evaluate(predictor, data, setting, surfaces=False)
            scores = {name: each["DSC"] for name, each in over_cases(evaluation).items()}
            found[part] = {name: round(dsc.mean, 3) for name, dsc in scores.items() if dsc.n}
            found[f"{part}_cases"] = len(evaluation.cases)
            if len(evaluation.answered) < len(evaluation.cases):
                found[f"{part}_cases_refused"] = len(evaluation.cases) - len(evaluation.answered)
    return found
