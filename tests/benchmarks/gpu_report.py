"""What a program with a budget of seconds says as it goes, and when it must stop."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


class OutOfTime(BaseException):
    """The budget is spent; no library that catches what goes wrong in it may swallow that."""


@dataclass
class Budget:
    """Seconds that are left; what is running when they end is broken off."""

    seconds: float
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self.seconds, 5.0)  # again, where the first was swallowed

    @property
    def left(self) -> float:
        return self.seconds - (time.perf_counter() - self.started)

    def _ring(self, *_: object) -> None:
        raise OutOfTime


@dataclass
class Report:
    """Rows of words and figures; each is printed as soon as it is known."""

    out: Path
    facts: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, part: str, what: str, **figures: Any) -> None:
        self.rows.append({"part": part, "what": what, **figures})
        shown = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())
        print(f"{part:15}{what:42}{shown}", flush=True)
        self.write()

    def replace(self, part: str, what: str, **figures: Any) -> None:
        """A row in place of the one that said so before."""
        self.rows = [row for row in self.rows if (row["part"], row["what"]) != (part, what)]
        self.add(part, what, **figures)

    def write(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        document = {**self.facts, "rows": self.rows}
        (self.out / "infer_on_gpu.json").write_text(json.dumps(document, indent=1) + "\n")

    def of(self, what: str, figure: str) -> float | None:
        return next((row[figure] for row in self.rows if row["what"] == what and figure in row), None)


@contextlib.contextmanager
def timed(device: torch.device) -> Iterator[list[float]]:
    seconds = [0.0]
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    yield seconds
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds[0] = time.perf_counter() - start
