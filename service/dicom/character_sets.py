"""Text of ours within a data set whose Specific Character Set (0008,0005) is somebody else's."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

from pydicom import Dataset
from pydicom.charset import python_encoding

from service.dicom.element_encoder import value_bytes

_DEFAULT: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
"""Terms of the default repertoire, which every text starts from."""


class Repertoire:
    """The characters that a Specific Character Set can express.

    A set that is unknown counts as the default repertoire: plain ASCII is right in all of them.
    """

    def __init__(self, specific_character_set: str | Sequence[str] | None) -> None:
        terms = specific_character_set or ""
        terms = terms.split("\\") if isinstance(terms, str) else list(terms)
        codecs = (python_encoding.get(term.strip()) for term in terms if term.strip() not in _DEFAULT)
        self._encodings = [codec for codec in codecs if codec is not None]

    def has(self, text: str) -> bool:
        """Whether every character can be written."""
        return text.isascii() or all(self._has_character(character) for character in text)

    def text(self, text: str, characters: int) -> str:
        """The text on one line, cut to so many characters; in plain letters if the set lacks one of its."""
        line = " ".join(text.replace("\\", "/").split())
        return (line if self.has(line) else plain(line))[:characters].rstrip()

    def _has_character(self, character: str) -> bool:
        return any(_encodes(encoding, character) for encoding in self._encodings)


def character_set_of(header: Dataset) -> Repertoire:
    """What can be written in the character set of a data set."""
    return Repertoire(value_bytes(header, "SpecificCharacterSet").decode("ascii", "replace"))


def plain(text: str) -> str:
    """The text in ASCII: accents off; what has no plain letter becomes a question mark."""
    decomposed = unicodedata.normalize("NFKD", text)
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return letters.encode("ascii", "replace").decode("ascii")


def _encodes(encoding: str, character: str) -> bool:
    try:
        encoded = character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return encoding != "shift_jis" or len(encoded) == 1  # ISO IR 13 is the half-width part of that codec
