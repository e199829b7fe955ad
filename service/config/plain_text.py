"""A value as it stands in the file, before anything decides what it is.

YAML guesses types from looks: ``NO`` becomes false, ``00123`` becomes 83, ``12:30`` becomes 750. Here every
unquoted value stays text until the key it belongs to wants a number or true/false.
"""

from __future__ import annotations

import re
from typing import Final

_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_TRUTH: Final = {"true": True, "false": False}
_NOTHING: Final = ("null", "~")


class PlainText(str):
    """An unquoted value; a quoted one is an ordinary ``str`` and never becomes a number."""

    __slots__ = ()


class Empty:
    """A key with nothing after its colon."""

    def __repr__(self) -> str:
        return "nothing"


EMPTY: Final = Empty()


def whole_number(value: object) -> object:
    """An ``int`` if ``value`` is unquoted, decimal and without leading zeros, else ``value`` itself."""
    return int(value) if isinstance(value, PlainText) and _WHOLE.fullmatch(value) else value


def number(value: object) -> object:
    """A ``float`` if ``value`` is unquoted, decimal and without leading zeros, else ``value`` itself."""
    return float(value) if isinstance(value, PlainText) and _NUMBER.fullmatch(value) else value


def truth(value: object) -> object:
    """A ``bool`` if ``value`` is an unquoted ``true`` or ``false``, else ``value`` itself."""
    return _TRUTH.get(value, value) if isinstance(value, PlainText) else value


def is_null(value: object) -> bool:
    """Whether ``value`` is an unquoted ``null`` or ``~``."""
    return isinstance(value, PlainText) and value in _NOTHING
