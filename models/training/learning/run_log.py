"""What a run said step by step: ``progress.csv`` and ``validation.csv`` in its folder."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from models.training.learning.optimisation import Progress

PROGRESS: Final = "progress.csv"
VALIDATION: Final = "validation.csv"
_FLUSH_SECONDS: Final = 2.0


class RunLog:
    """Writes the two files; a line is one step, or one look at the validation cases.

    Args:
        folder: of the run.
        outputs: the network's outputs without background, a column of DSC each.
    """

    def __init__(self, folder: Path, outputs: Sequence[str]) -> None:
        self._folder = folder
        self._outputs = tuple(outputs)
        self._waiting: list[str] = []
        self._flushed = time.monotonic()

    def begin(self, step: int) -> None:
        """Go on after ``step``: later lines are of a time that a resumed run lives through again."""
        for file, header in (
            (PROGRESS, ("step", "epoch", "cycle", "loss", "learning_rate", "seconds")),
            (VALIDATION, ("step", "epoch", "cycle", "loss", "dsc", *self._outputs)),
        ):
            old = self._folder / file
            lines = old.read_text().splitlines()[1:] if old.exists() else []
            kept = [line for line in lines if line.partition(",")[0].isdigit()]
            kept = [line for line in kept if int(line.partition(",")[0]) <= step]
            part = old.with_suffix(".part")
            part.write_text("".join(f"{line}\n" for line in (",".join(header), *kept)))
            part.replace(old)

    def step(self, progress: Progress, loss: float, rate: float) -> None:
        """One step's loss and learning rate."""
        self._waiting.append(
            f"{progress.step},{progress.epoch:.4f},{progress.cycle},{loss:.6f},{rate:.4e},{progress.seconds:.2f}\n"
        )
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting; before every checkpoint, so that no line is missing after a kill."""
        with (self._folder / PROGRESS).open("a") as file:
            file.writelines(self._waiting)
        self._waiting.clear()
        self._flushed = time.monotonic()

    def validation(self, progress: Progress, loss: float, dsc: Mapping[str, float]) -> None:
        """One look: loss, mean DSC and that of each output; what was not measured stays empty."""
        mean = sum(dsc.values()) / len(dsc) if dsc else None
        numbers = [loss, mean, *(dsc.get(name) for name in self._outputs)]
        texts = ["" if number is None else f"{number:.5f}" for number in numbers]
        with (self._folder / VALIDATION).open("a") as file:
            file.write(f"{progress.step},{progress.epoch:.4f},{progress.cycle},{','.join(texts)}\n")


def read_log(file: Path) -> dict[str, list[float]]:
    """Columns of one of the files by name; what is empty is NaN."""
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = list(rows[0]) if rows else []
    return {name: [float(row[name]) if row[name] else float("nan") for row in rows] for name in names}
