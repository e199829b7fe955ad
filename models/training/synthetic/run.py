"""What synthetic samples a run is made of when it has no data set, and its figures on those left out."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from models.cards.input_card import InputCard
from models.training.learning.learner import Machine
from models.training.recipes.recipe import Recipe
from models.training.synthetic.device_stock import DeviceStock
from models.training.synthetic.figures import left_out_map_cases, mean_dsc, phantom_cases
from models.training.synthetic.lessons import Seen, SyntheticLessons, spacing_mm
from models.training.synthetic.sample_stock import SampleRecipe, SampleStock

PHANTOM_SOURCE: Final = {
    "name": "Procedural phantoms",
    "licence": "Apache-2.0",
    "what": "pelvic CT drawn from formulas by this project; nobody's anatomy",
}


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Samples made while the network learns.

    Attributes:
        tissue_maps: file of tissue maps, or None for phantoms alone.
        leave_out: patients in it to keep for the figures.
        phantom_seeds: first, and one past the last.
        phantom_share: how many samples are phantoms.
        sees: how often a sample is seen, on average.
        producers: processes that make samples; 0 makes them between the steps.
        cases: for each of the figures.
    """

    tissue_maps: Path | None = None
    leave_out: tuple[str, ...] = ()
    phantom_seeds: tuple[int, int] = (1_000, 100_000)
    phantom_share: float = 0.3
    sees: int = 2
    producers: int = 1
    cases: int = 16

    def lessons(self, recipe: Recipe, folder: Path, seed: int, machine: Machine) -> SyntheticLessons:
        """Lessons from these samples, which are kept in ``folder``.

        Raises:
            TrainingRefused: ``training.not-synthetic``, ``training.batch-not-shared``.
        """
        made = SampleRecipe(
            seed=seed,
            patch_zyx=recipe.input.patch_zyx,
            spacing_mm=spacing_mm(recipe),
            tissue_maps=self.tissue_maps,
            leave_out=self.leave_out,
            phantom_seeds=self.phantom_seeds,
            phantom_share=self.phantom_share,
            device=str(machine.device),
        )
        on_gpu = machine.device.type == "cuda"
        producers = self.producers if machine.processes.first or on_gpu else 0
        own = folder / str(machine.processes.rank)  # each GPU throws its phantoms away when it has read them
        stock = DeviceStock(made, own) if on_gpu else SampleStock(made, folder)
        return SyntheticLessons(stock, Seen(seed, recipe.batch, self.sees), recipe, machine, producers)

    def identity(self) -> dict[str, Any]:
        """What decides the samples, as plain JSON values."""
        file = self.tissue_maps
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file is not None else None
        deciding = ("leave_out", "phantom_seeds", "phantom_share", "sees")
        chosen = {key: value for key, value in asdict(self).items() if key in deciding}
        return {key: list(v) if isinstance(v, tuple) else v for key, v in chosen.items()} | {"maps": sha256}

    def figures(self, network: nn.Module, recipe: Recipe, shown: InputCard) -> dict[str, Any]:
        """DSC by structure on phantoms never trained on, and on patients left out where there are any."""
        patch, spacing = recipe.input.patch_zyx, spacing_mm(recipe)

        def rounded(cases: Any) -> dict[str, float]:  # noqa: ANN401 - samples
            scores = mean_dsc(network, shown.channels, cases, recipe.outputs)
            return {structure: round(dsc, 3) for structure, dsc in scores.items()}

        found: dict[str, Any] = {
            "metric": "mean DSC of the raw answer on one patch of synthetic CT a case; no clinical evidence",
            "phantoms_never_trained_on": rounded(phantom_cases(patch, spacing, self.cases)),
        }
        if self.tissue_maps is not None and self.leave_out:
            cases = left_out_map_cases(self.tissue_maps, self.leave_out, patch, spacing, self.cases)
            found["synthetic_ct_of_patients_left_out"] = rounded(cases)
        return found
