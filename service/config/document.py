"""The text of the file as keys and values with line numbers; every value still text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from service.config.mistakes import KeyPath, Mistake, key_text
from service.config.plain_text import EMPTY, PlainText
from service.config.yaml_traps import compose

_TYPOGRAPHIC = "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"


@dataclass(frozen=True)
class Document:
    """What the file says.

    Attributes:
        tree: dicts, lists and texts (``PlainText`` if unquoted, ``str`` if quoted, ``EMPTY`` if none);
            None if the file cannot be read at all.
        lines: line of each key and list item, from 1.
        source: the lines of the text.
        mistakes: of the YAML itself.
    """

    tree: dict[str, Any] | None
    lines: Mapping[KeyPath, int]
    source: tuple[str, ...]
    mistakes: tuple[Mistake, ...]

    def line(self, path: KeyPath) -> int:
        """Line of ``path``, or of the nearest key around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def source_at(self, path: KeyPath) -> str:
        """The line of the text where ``path`` stands."""
        return self.source[self.line(path) - 1] if self.source else ""


def read_document(text: str) -> Document:
    """Read ``text``; never raises, mistakes are in the result."""
    text = text.removeprefix("\ufeff")
    node, mistakes = compose(text)
    source = tuple(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    if node is None:
        if not mistakes:
            mistakes = [Mistake(1, "", "the file is empty; it needs at least a section routes")]
        return Document(None, {}, source, tuple(mistakes))
    reading = _Reading(mistakes)
    tree = reading.value(node, ())
    if not isinstance(tree, dict):
        sentence = "the file must hold keys with values, such as node: and routes:"
        reading.mistakes.append(Mistake(1, "", sentence))
        tree = None
    return Document(tree, reading.lines, source, tuple(reading.mistakes))


@dataclass
class _Reading:
    mistakes: list[Mistake]
    lines: dict[KeyPath, int] = field(default_factory=dict)
    around: list[Node] = field(default_factory=list)

    def value(self, node: Node, path: KeyPath) -> Any:  # noqa: ANN401 - dict, list, text or EMPTY
        if not isinstance(node, MappingNode | SequenceNode):
            return self._scalar(node, path)
        if node in self.around:
            self._say(node, path, "contains itself by its alias; write it out")
            return EMPTY
        self.around.append(node)
        value = self._mapping(node, path) if isinstance(node, MappingNode) else self._list(node, path)
        self.around.pop()
        return value

    def _list(self, node: SequenceNode, path: KeyPath) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self.lines[(*path, index)] = item.start_mark.line + 1
            items.append(self.value(item, (*path, index)))
        return items

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self.mistakes.append(Mistake(line, key_text(path), "a key must be a text"))
                continue
            key = str(self._scalar(key_node, path))
            here = (*path, key)
            if key in values:
                sentence = f"stands twice, first on line {self.lines[here]}; keep one of the two"
                self.mistakes.append(Mistake(line, key_text(here), sentence))
                continue
            self.lines[here] = line
            values[key] = self.value(value_node, here)
        return values

    def _scalar(self, node: Node, path: KeyPath) -> Any:  # noqa: ANN401 - text or EMPTY
        text = str(node.value)
        if text[:1] in _TYPOGRAPHIC and text:
            self._say(node, path, f'begins with the typographic quotation mark {text[0]}; write " instead')
        elif "\u00a0" in text:
            self._say(node, path, "holds a no-break space, which only looks like a blank; type a blank")
        if getattr(node, "style", None) is None:
            return PlainText(text) if text else EMPTY
        return text

    def _say(self, node: Node, path: KeyPath, sentence: str) -> None:
        self.mistakes.append(Mistake(node.start_mark.line + 1, key_text(path), sentence))
