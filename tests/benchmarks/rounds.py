"""Ours and the peers by turns, each round in another order, so that a busy machine is unfair to none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
REPOSITORY = TESTS.parent

Figures = Mapping[str, Any]


class Unmeasured(Exception):
    """A contestant cannot run here; its words are the reason."""


@dataclass(slots=True)
class Samples:
    """What all rounds gave.

    Attributes:
        figures: by contestant, one entry a round.
        reasons: by contestant that could not run, why.
    """

    figures: dict[str, list[Figures]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def of(self, quantity: str) -> dict[str, list[float]]:
        """One quantity of every contestant that has it."""
        return {
            name: [float(one[quantity]) for one in many]
            for name, many in self.figures.items()
            if many and all(quantity in one for one in many)
        }

    @property
    def reason(self) -> str:
        """Why some contestants are missing; empty if none is."""
        return "; ".join(f"{name} did not run: {why}" for name, why in self.reasons.items())


def interleaved(
    contestants: Mapping[str, Callable[[], Figures]], rounds: int, *, warm_up: int = 0
) -> Samples:
    """Run every contestant once a round, beginning with another one each time.

    A peer that cannot run is left out from then on, with its reason; for "ours" that is a failure.

    Args:
        contestants: by name, "ours" among them.
        rounds: how many count.
        warm_up: how many rounds before those, which do not.

    Raises:
        Unmeasured: ours could not run.
    """
    names = list(contestants)
    samples = Samples({name: [] for name in names})
    for turn in range(-warm_up, rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if name in samples.reasons:
                continue
            try:
                figures = contestants[name]()
            except Unmeasured as error:
                if name == "ours":
                    raise
                samples.reasons[name] = str(error)
                samples.figures.pop(name)
                continue
            if turn >= 0:
                samples.figures[name].append(figures)
    return samples


def in_own_process(
    worker: str,
    task: Mapping[str, Any],
    *,
    python: Path | str = sys.executable,
    timeout_seconds: float = 900,
    threads: int | None = None,
) -> Figures:
    """Run ``benchmarks/workers/WORKER.py`` in an environment and take the figures it hands back.

    Args:
        worker: name of the module.
        task: handed to it as JSON.
        python: the environment's interpreter.
        timeout_seconds: after which the worker is ended.
        threads: for the libraries that ask OMP_NUM_THREADS.

    Raises:
        Unmeasured: it failed; with the last line of what it said.
    """
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONDONTWRITEBYTECODE": "1"}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "figures.json"
        command = [str(python), "-m", f"benchmarks.workers.{worker}", json.dumps(dict(task)), str(answer)]
        try:
            done = subprocess.run(
                command,
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired:
            raise Unmeasured(f"longer than {timeout_seconds:.0f} s") from None
        if done.returncode != 0 or not answer.is_file():
            said = done.stderr.strip().splitlines()
            raise Unmeasured(said[-1] if said else f"ended with status {done.returncode}")
        figures: Figures = json.loads(answer.read_text())
        return figures
