"""What a training run is told, who looks at it, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.cards.card import Card
from models.training.learning.trainer import Told
from models.training.recipes.recipe import Recipe
from models.training.synthetic.run import Synthetic


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Everything that a run is told.

    Attributes:
        recipe: what to do.
        out: folder of the run.
        data: a data set, or how to make synthetic samples on the fly.
        start_from: bundle whose card the new one repeats where the data do not say otherwise.
        with_weights: begin with its weights; the recipe's network, input and outputs must be its own.
        seed: of the order of samples, of whatever is drawn, and of fresh weights.
        name: of the new bundle; the recipe's where None.
        version: of the new bundle; where None the next one after that of ``start_from``, or 1.0.
        prepared: folder where cases on the network's grid are kept, to share between runs; OUT/prepared.
    """

    recipe: Recipe
    out: Path
    data: Path | Synthetic
    start_from: Card | None = None
    with_weights: bool = False
    seed: int = 1
    name: str | None = None
    version: str | None = None
    prepared: Path | None = None

    @property
    def reference(self) -> tuple[str, str]:
        """Name and version of the new bundle."""
        if self.start_from is None:
            return self.name or self.recipe.name, self.version or "1.0"
        stem, _, last = self.start_from.version.rpartition(".")
        following = f"{stem}.{int(last) + 1}" if stem and last.isdigit() else f"{self.start_from.version}.1"
        return self.name or self.start_from.name, self.version or following


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who looks at a run.

    Attributes:
        report: told of every step.
        prepare: told how much of the cases has been brought to the network's grid, 0 to 1.
        say: told in a sentence what is being done, and what must be known.
        pause: asked after every step whether to stop here for now.
    """

    report: Callable[[Told], None] | None = None
    prepare: Callable[[float], None] = lambda _part: None
    say: Callable[[str], None] = lambda _sentence: None
    pause: Callable[[int], bool] | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that came to its end.

    Attributes:
        card: of the new bundle.
        watched: best value of what the recipe watches (of its last cycle), smaller being better.
    """

    card: Card
    watched: float | None
