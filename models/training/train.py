"""A training run from its settings to a bundle: samples, training, evaluation, card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.card import BundleError, Card, InputCard
from models.training.bundle_writer import network_of, write_bundle
from models.training.evaluate import left_out_map_cases, mean_dsc, phantom_cases
from models.training.sample_stock import SampleRecipe, SampleStock
from models.training.trainer import Plan, Trainer

PHANTOM_SOURCE = {
    "name": "Procedural phantoms",
    "licence": "Apache-2.0",
    "what": "pelvic CT drawn from formulas by this project; nobody's anatomy",
}


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Everything that a run is told.

    Attributes:
        start_from: bundle whose card the new one repeats, and whose weights it starts from unless ``fresh``.
        out: folder of the run: checkpoint, samples, ``progress.csv``, and ``bundle`` at the end.
        plan: how to train.
        version: of the new bundle.
        tissue_maps: file of tissue maps, or None for phantoms alone.
        leave_out: patients in it to keep for evaluation.
        phantom_seeds: first, and one past the last.
        phantom_share: how many samples are phantoms.
        fresh: start from random weights.
        producers: processes that make samples; 0 makes them between the steps.
        device: ``cpu``, ``cuda``.
        cases: for each evaluation.
    """

    start_from: Card
    out: Path
    plan: Plan
    version: str
    tissue_maps: Path | None = None
    leave_out: tuple[str, ...] = ()
    phantom_seeds: tuple[int, int] = (1_000, 100_000)
    phantom_share: float = 0.3
    fresh: bool = False
    producers: int = 1
    device: str = "cpu"
    cases: int = 16

    @property
    def input(self) -> InputCard:
        """What the network is shown."""
        if self.start_from.input is None:
            raise BundleError("model.card-invalid", f"{self.start_from.reference} is no network.")
        return self.start_from.input

    @property
    def recipe(self) -> SampleRecipe:
        """What its samples are made of."""
        z, y, x = self.input.spacing_zyx_mm
        if z is None or not z == y == x:
            raise BundleError(
                "model.card-invalid", "Only cards with the same spacing along every axis can be trained."
            )
        return SampleRecipe(
            seed=self.plan.seed,
            patch_zyx=self.input.patch_zyx,
            spacing_mm=z,
            tissue_maps=self.tissue_maps,
            leave_out=self.leave_out,
            phantom_seeds=self.phantom_seeds,
            phantom_share=self.phantom_share,
            device=self.device,
        )


def train(run: TrainingRun, *, resume: bool, report: Callable[[int, float], None] | None = None) -> Card:
    """Train, evaluate and write the bundle; returns its card.

    Args:
        run: what to do.
        resume: go on from the checkpoint in ``run.out`` if there is one.
        report: hears each step's number and loss.

    Raises:
        BundleError: the bundle to start from is missing or no network.
        FileExistsError: ``run.out`` holds a checkpoint and ``resume`` is False.
    """
    torch.manual_seed(run.plan.seed)
    network = network_of(run.start_from, with_weights=not run.fresh)
    stock = SampleStock(run.recipe, run.out / "samples")
    trainer = Trainer(network, run.input.channels, stock, run.plan, run.out, run.device)
    if trainer.checkpoint.exists() and not resume:
        message = "this folder holds a training run; resume it or name another folder"
        raise FileExistsError(message)
    trainer.resume()
    with stock.produced_ahead(run.producers, trainer.plan.newest(trainer.step)):
        trainer.run(report)
    trained = network_of(run.start_from, with_weights=False)
    state = trainer.averaged_state()
    trained.load_state_dict(state)
    sources = [PHANTOM_SOURCE] if run.phantom_seeds[0] < run.phantom_seeds[1] else []
    return write_bundle(
        run.out / "bundle",
        run.start_from,
        state,
        figures(run, trained, trainer),
        version=run.version,
        training=sources,
    )


def figures(run: TrainingRun, network: nn.Module, trainer: Trainer) -> dict[str, Any]:
    """The card's figures: what was trained, for how long, and DSC on cases that were not."""
    origin = "random weights" if run.fresh else run.start_from.reference
    found: dict[str, Any] = {
        "stage": f"{trainer.step} steps of {run.plan.batch} samples on {run.device}, "
        f"{trainer.seconds / 3600:.2f} hours, from {origin}",
        "metric": "mean DSC of the raw winner-takes-all answer on synthetic CT; no clinical evidence",
    }
    for name, scores in evaluate(run, network).items():
        found[name] = {structure: round(dsc, 3) for structure, dsc in scores.items()}
    return found


def evaluate(run: TrainingRun, network: nn.Module) -> dict[str, dict[str, float]]:
    """DSC by structure on patients left out (where there are any) and on phantoms never trained on."""
    patch, spacing, channels = run.input.patch_zyx, run.recipe.spacing_mm, run.input.channels
    network = network.cpu()
    found = {
        "phantoms_never_trained_on": mean_dsc(network, channels, phantom_cases(patch, spacing, run.cases))
    }
    if run.tissue_maps is not None and run.leave_out:
        cases = left_out_map_cases(run.tissue_maps, run.leave_out, patch, spacing, run.cases)
        found["synthetic_ct_of_patients_left_out"] = mean_dsc(network, channels, cases)
    return found
