"""One mistake in the file, in words: where it is, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake, or one warning; ``key`` is written as ``routes[0].when.Modality``."""

    line: int
    key: str
    sentence: str

    def said_of(self, file: str) -> str:
        """The line that people read; ``file:line:`` first, as editors and terminals expect."""
        return f"{file}:{self.line}: {self.key + ': ' if self.key else ''}{self.sentence}"


def key_text(path: KeyPath) -> str:
    """``routes[0].when.Modality`` for ``("routes", 0, "when", "Modality")``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def did_you_mean(found: str, names: Iterable[str]) -> str:
    """``; did you mean Rectum?`` if one of ``names`` is near to ``found``, else nothing."""
    by_folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(found.strip().casefold(), by_folded, n=1, cutoff=0.6)
    return f"; did you mean {by_folded[near[0]]}?" if near else ""


def listed(names: Iterable[str]) -> str:
    """``a, b or c``; ``none`` if there are none."""
    *most, last = list(names) or ["none"]
    return f"{', '.join(most)} or {last}" if most else last
