"""The side of the patient that a name says in whatever words, so that no file calls a left structure right.

What TG-263 names say by their suffix is :func:`models.tg263.side_of`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_WORDS: Final = {
    "left": frozenset({"l", "lt", "left", "li", "links", "linke", "linker", "gauche", "izq", "左"}),
    "right": frozenset(
        {"r", "rt", "right", "re", "rechts", "rechte", "rechter", "droit", "droite", "der", "右"}
    ),
}
"""As words of a name, in the languages of those who write such files."""

_WORD: Final = re.compile(r"[^\W\d_]+\d*")
_CHINESE: Final = re.compile("([左右])")
_AT_THE_END: Final = re.compile(r"(?<=[a-z])(?=[LR]$)")


def side_in_words(name: str) -> str | None:
    """``left`` or ``right``, None where the name says neither or both."""
    text = unicodedata.normalize("NFC", _AT_THE_END.sub("_", name)).casefold()
    words = set(_WORD.findall(_CHINESE.sub(r" \1 ", text)))
    said = [side for side, spelled in _WORDS.items() if words & spelled]
    return said[0] if len(said) == 1 else None


def side_in_all(names: Iterable[str]) -> str | None:
    """The side that all of them say, None if they do not."""
    said = {side_in_words(name) for name in names}
    return said.pop() if len(said) == 1 else None
