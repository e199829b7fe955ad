"""How a benchmark was asked to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line said.

    Attributes:
        out: the folder of the JSON files; a benchmark's cases and pictures go into folders beneath it.
        asked_rounds: None for the benchmark's own number.
        small: a small case, to see that everything runs.
    """

    out: Path
    asked_rounds: int | None = None
    small: bool = False

    def rounds(self, own: int) -> int:
        """How many rounds count, where the benchmark itself would take ``own``."""
        return own if self.asked_rounds is None else self.asked_rounds

    def work(self, name: str) -> Path:
        """A folder for a benchmark's cases, kept from run to run."""
        folder = self.out / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
