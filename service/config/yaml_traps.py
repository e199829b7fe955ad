"""Characters that mean something in YAML where an administrator meant text, explained.

After each such mistake the place is put in quotes in a copy of the text and reading goes on, so that one
pass finds the mistakes of the whole file. The copy keeps every line where it was.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

import yaml
from yaml.events import AliasEvent, CollectionStartEvent, ScalarEvent
from yaml.nodes import Node

from service.config.mistakes import Mistake

_MEANING: Final = {
    "*": "an unquoted * begins an alias in YAML",
    "&": "an unquoted & begins an anchor in YAML",
    "%": "an unquoted text cannot begin with % in YAML",
    "@": "an unquoted text cannot begin with @ in YAML",
    "`": "an unquoted text cannot begin with ` in YAML",
    ">": "an unquoted > begins a folded text in YAML",
    "|": "an unquoted | begins a block of text in YAML",
    "!": "an unquoted ! begins a tag in YAML",
}
_TOO_MANY: Final = 200
_LINE_END: Final = re.compile(r"[\r\n\x85\u2028\u2029]|$")


class _Trap(yaml.MarkedYAMLError):
    """A character stands unquoted that YAML would take for something else."""


class _Loader(yaml.BaseLoader):
    """Composes nodes, types nothing; takes tags and anchors nobody uses for texts that lack their quotes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._anchored: dict[str, tuple[int, bool]] = {}
        self._flow_depth = 0
        self._aliased: set[str] = set()

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Take the next node, noting its anchor or alias."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        name = getattr(event, "anchor", None)
        if isinstance(event, AliasEvent):
            self._aliased.add(str(event.anchor))
        elif name is not None and isinstance(event, ScalarEvent) and event.start_mark:
            self._anchored[name] = (event.start_mark.index, self._flow_depth > 0)
        inside_flow = isinstance(event, CollectionStartEvent) and bool(event.flow_style)
        self._flow_depth += inside_flow
        node = super().compose_node(parent, index)
        self._flow_depth -= inside_flow
        return node

    def unused_anchor(self) -> tuple[int, bool] | None:
        """Where a ``&name`` stands that nothing refers to: a text without quotes; and whether in brackets."""
        return next((at for name, at in self._anchored.items() if name not in self._aliased), None)

    def fetch_tag(self) -> NoReturn:
        """Meet ``!``."""
        self._refuse()

    def fetch_block_scalar(self, style: str) -> None:
        """Meet ``>`` or ``|``: a block only if nothing but its chomping sign follows in the line."""
        following = re.match(r"[^\r\n\0]*", self.prefix(self._LOOK_AHEAD)[1:])
        if following and not re.fullmatch(r"[+-]?\s*(#.*)?", following.group()):
            self._refuse()
        super().fetch_block_scalar(style)

    _LOOK_AHEAD = 200

    def _refuse(self) -> NoReturn:
        raise _Trap(problem_mark=self.get_mark())


def quote_it(character: str, written: str) -> str:
    """The sentence for a text that must stand in quotes because of its first character."""
    return f'{_MEANING[character]}: write "{written}" in quotes'


def compose(text: str) -> tuple[Node | None, list[Mistake]]:
    """The file's nodes, every value as text, and the mistakes of its YAML; no node if it cannot be read."""
    found: list[Mistake] = []
    for _ in range(_TOO_MANY):
        loader: _Loader | None = None
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            sentence = f"holds an unprintable character (U+{error.character:04X}); remove it"
            return None, [*found, Mistake(line, "", sentence)]
        except yaml.MarkedYAMLError as error:
            flow = loader is not None and loader.flow_level > 0
            mistakes, mended = _explained(error, text, in_flow=flow)
            found += mistakes
            if mended is None:
                return None, found
            text = mended
        except RecursionError:
            return None, [*found, Mistake(1, "", "brackets are nested too deeply")]
        else:
            unused = loader.unused_anchor()
            if unused is None:
                return node, found
            mistake, text = _in_quotes(text, unused[0], in_flow=unused[1])
            found.append(mistake)
    return None, found


def _explained(error: yaml.MarkedYAMLError, text: str, *, in_flow: bool) -> tuple[list[Mistake], str | None]:
    """The mistakes behind ``error``, and the text with the place mended, or None where it cannot be."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return [Mistake(1, "", "cannot be read as YAML")], None
    begun = error.context in ("while scanning an alias", "while scanning an anchor") and error.context_mark
    at = begun.index if begun else mark.index
    line = text.count("\n", 0, at) + 1
    character = text[at : at + 1]
    if character == "\t":
        return _tab(text, at, line)
    if character in _MEANING:
        mistake, mended = _in_quotes(text, at, in_flow=in_flow)
        return [mistake], mended
    if error.problem == "mapping values are not allowed here":
        return _colon(text, mark.index, mark.line + 1)
    return _comment(error, text) or ([_syntax(error, mark.line + 1)], None)


def comment_hint(comment: str) -> str:
    """The sentence for a value that became a comment; ``comment`` is what follows the ``#``."""
    return f': # begins a comment, write "#{comment.strip()}" in quotes if that is the value'


def _in_quotes(text: str, at: int, *, in_flow: bool) -> tuple[Mistake, str]:
    """The mistake of the text that begins at ``at``, and a copy with that text in quotes."""
    end = _token_end(text, at, in_flow=in_flow)
    written = text[at:end]
    mistake = Mistake(text.count("\n", 0, at) + 1, "", quote_it(text[at], written))
    return mistake, text[:at] + _quoted(written) + text[end:]


def _comment(error: yaml.MarkedYAMLError, text: str) -> tuple[list[Mistake], str] | None:
    """``{color: #ffd700}``: the comment hides the closing bracket."""
    if (
        error.context_mark is None
        or error.problem_mark is None
        or "expected ','" not in (error.problem or "")
    ):
        return None
    hidden = re.compile(r":[ ]+(#[^,\]}\s]+)[^\r\n]*[\]}]")
    match = hidden.search(text, error.context_mark.index, error.problem_mark.index)
    if match is None:
        return None
    line = text.count("\n", 0, match.start(1)) + 1
    mended = text[: match.start(1)] + _quoted(match.group(1)) + text[match.end(1) :]
    return [Mistake(line, "", "found nothing" + comment_hint(match.group(1)[1:]))], mended


def _tab(text: str, at: int, line: int) -> tuple[list[Mistake], str | None]:
    start = text.rfind("\n", 0, at) + 1
    if text[start:at].strip():
        sentence = "a tab stands where YAML wants a blank: write a space"
        return [Mistake(line, "", sentence)], text[:at] + " " + text[at + 1 :]
    sentence = "a tab indents this line: YAML is indented with spaces only"
    lines = [n for n, content in enumerate(text.split("\n"), 1) if re.match(r" *\t\s*\S", content)]
    return [Mistake(n, "", sentence) for n in lines or [line]], None


def _colon(text: str, at: int, line: int) -> tuple[list[Mistake], str | None]:
    start = text.rfind("\n", 0, at) + 1
    end = _token_end(text, at, in_flow=False)
    value = re.match(r"\s*(?:- +)?[^\s:#][^:#]*:[ ]+", text[start:end])
    sentence = "a second ': ' in the line: put the text in quotes, or give the next key a line of its own"
    if value is None or start + value.end() > at:
        return [Mistake(line, "", "a key stands where none can be: check the indentation of this line")], None
    begin = start + value.end()
    return [Mistake(line, "", sentence)], text[:begin] + _quoted(text[begin:end]) + text[end:]


def _token_end(text: str, at: int, *, in_flow: bool) -> int:
    line_end = _LINE_END.search(text, at)
    end = line_end.start() if line_end else len(text)
    stop = re.compile(r"[,\]}]| #" if in_flow else r" #|:(?= |$)", re.MULTILINE).search(text, at + 1, end)
    return at + len(text[at : stop.start() if stop else end].rstrip())


def _quoted(written: str) -> str:
    return "'" + written.replace("'", "''") + "'"


def _syntax(error: yaml.MarkedYAMLError, line: int) -> Mistake:
    """What cannot be mended: the rest of the file stays unread until it is."""
    opened = f" (begun on line {error.context_mark.line + 1})" if error.context_mark else ""
    problem = error.problem or ""
    if "quoted scalar" in (error.context or ""):
        said = f"a quotation mark is not closed{opened}"
    elif "expected ',' or" in problem:
        said = f"a bracket is not closed, or a comma is missing{opened}"
    elif "could not find expected ':'" in problem:
        said = f"a key without its colon, or without the blank after it{opened}"
    elif "expected <block end>" in problem:
        said = f"the indentation does not fit the lines above{opened}"
    elif "expected a single document" in (error.context or ""):
        said = "a second document (---) begins here; the file holds one"
    else:
        said = f"cannot be read as YAML: {problem}{opened}"
    return Mistake(line, "", f"{said}; what follows is not read until this is mended")
