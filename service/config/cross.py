"""The file's tree as checks between sections read it, and what they find wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from service.config.criteria import folded
from service.config.document import Document
from service.config.mistakes import KeyPath, Mistake, key_text


class Cross:
    """The tree and the mistakes found in it; every look-up tolerates a tree of any shape."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.mistakes: list[Mistake] = []

    def at(self, *path: str | int) -> Any:  # noqa: ANN401 - whatever the file holds there, None if nothing
        """What the file holds at ``path``."""
        value: Any = self.document.tree
        for step in path:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def keys(self, *path: str | int) -> list[str]:
        """Keys of the section at ``path``."""
        value = self.at(*path)
        return list(value) if isinstance(value, dict) else []

    def indices(self, *path: str | int) -> range:
        """Indices of the list at ``path``."""
        value = self.at(*path)
        return range(len(value)) if isinstance(value, list) else range(0)

    def texts(self, *path: str | int) -> Iterator[tuple[KeyPath, str]]:
        """The text at ``path``, or each text of the list there."""
        value = self.at(*path)
        if isinstance(value, str):
            yield path, value
        for index in self.indices(*path):
            if isinstance(self.at(*path, index), str):
                yield (*path, index), self.at(*path, index)

    def say(self, path: KeyPath, sentence: str) -> None:
        """Record a mistake."""
        self.mistakes.append(Mistake(self.document.line(path), key_text(path), sentence))

    def same(self, entries: Iterator[tuple[KeyPath, str]], what: str) -> None:
        """Record each name that another one equals ignoring case and blanks at its ends."""
        first: dict[str, KeyPath] = {}
        for path, name in entries:
            earlier = first.setdefault(folded(name), path)
            if earlier != path:
                line = self.document.line(earlier)
                self.say(
                    path, f"found '{name}', {what} on line {line} ignoring case; allowed: names that differ"
                )
