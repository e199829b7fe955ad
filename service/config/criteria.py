"""One criterion of a route's ``when`` or ``unless``: what the file says, and whether values satisfy it.

Texts are compared whole, ignoring case and blanks at the ends; ``*`` stands for any run of characters,
``?`` for one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword

from service.config.mistakes import did_you_mean
from service.config.route_section import Criterion, Presence, Single

AE_KEYS: Final = ("called_ae", "calling_ae")
_NUMERIC: Final = frozenset({"DS", "IS", "FL", "FD", "SS", "US", "SL", "UL", "SV", "UV", "US or SS"})
_UNROUTABLE: Final = frozenset({"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "AT"})
_DIFFERS_BY_NATURE: Final = frozenset(
    {"SOPInstanceUID", "InstanceNumber", "SliceLocation", "ImagePositionPatient", "ContentTime"}
)
_N: Final = r"-?[0-9]+(?:\.[0-9]+)?"
_COMPARISON: Final = re.compile(rf"(<=|>=|<|>)\s*({_N})")
_BETWEEN: Final = re.compile(rf"({_N})\s*\.\.\s*({_N})")
_RANGES: Final = '"<=5", ">=1", "<5", ">1" or "2..5"'


class CriterionInvalid(ValueError):
    """A criterion cannot be understood; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a criterion, e.g. ``!*phantom*``: ``accepts`` judges one value without the ``!``."""

    written: str
    excludes: bool
    accepts: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class CompiledCriterion:
    """All entries for one keyword.

    Attributes:
        keyword: ``called_ae``, ``calling_ae`` or a DICOM keyword.
        written: as in the file, for people.
        entries: texts and ranges.
        if_absent: whether an absent or empty attribute satisfies it.
        if_present: whether any value at all does.
        numeric: whether values are compared as numbers.
    """

    keyword: str
    written: str
    entries: tuple[Entry, ...]
    if_absent: bool
    if_present: bool
    numeric: bool

    def matches(self, values: Sequence[str]) -> bool:
        """Whether any of an attribute's values satisfies it; no values: the attribute is absent or empty."""
        if not values:
            return self.if_absent
        if self.numeric:
            values = [value for value in values if _numbers(value)]
            if not values:
                return False
        if any(entry.accepts(value) for entry in self.entries if entry.excludes for value in values):
            return False
        wanted = [entry for entry in self.entries if not entry.excludes]
        if not wanted:
            return self.if_present or len(self.entries) > 0
        return self.if_present or any(entry.accepts(value) for entry in wanted for value in values)


@lru_cache(maxsize=256)
def is_numeric(keyword: str) -> bool:
    """Whether a keyword's values are numbers."""
    return keyword not in AE_KEYS and dictionary_VR(keyword) in _NUMERIC


def check_keyword(keyword: str) -> None:
    """Refuse a key that cannot be routed on.

    Raises:
        CriterionInvalid: unknown, without a plain value, or different on every slice.
    """
    if keyword in AE_KEYS:
        return
    tag = tag_for_keyword(keyword)
    if tag is None:
        near = did_you_mean(keyword, (*AE_KEYS, *keyword_dict))
        message = (
            f"unknown key{near}; allowed: called_ae, calling_ae or a DICOM keyword such as StudyDescription"
        )
        raise CriterionInvalid(message)
    if tag >> 16 in (0x0000, 0x0002):
        message = "stands in the file's header, not in the image; allowed: keywords of the image"
        raise CriterionInvalid(message)
    if dictionary_VR(tag) in _UNROUTABLE:
        message = "is a sequence or bytes and has no value to compare; allowed: keywords with a plain value"
        raise CriterionInvalid(message)
    if keyword in _DIFFERS_BY_NATURE:
        message = (
            "differs from slice to slice, so no series could be routed on it; allowed: what a series shares"
        )
        raise CriterionInvalid(message)


def compile_criterion(keyword: str, value: Criterion) -> CompiledCriterion:
    """Read a criterion whose keyword has been checked.

    Raises:
        CriterionInvalid: an entry cannot be understood.
    """
    entries = value if isinstance(value, list) else [value]
    presences = [entry.absent for entry in entries if isinstance(entry, Presence)]
    texts = [str(entry) for entry in entries if not isinstance(entry, Presence)]
    return CompiledCriterion(
        keyword=keyword,
        written=" or ".join(written(entry) for entry in entries),
        entries=tuple(read_entry(keyword, text) for text in texts),
        if_absent=True in presences,
        if_present=False in presences,
        numeric=is_numeric(keyword),
    )


def written(entry: Single) -> str:
    """One entry as people read it."""
    if isinstance(entry, Presence):
        return "absent" if entry.absent else "present"
    return str(entry)


def read_entry(keyword: str, text: str) -> Entry:
    """One text or range.

    Raises:
        CriterionInvalid: it cannot be understood.
    """
    body = text.strip()
    excludes = body.startswith("!")
    body = body[1:].strip() if excludes else body
    if not body:
        message = "an empty text matches nothing; for a missing or empty attribute write {absent: true}"
        raise CriterionInvalid(message)
    if is_numeric(keyword):
        return Entry(text, excludes, _number_test(body))
    if _COMPARISON.fullmatch(body) or _BETWEEN.fullmatch(body):
        message = (
            f"found the range '{body}', but {keyword} holds text; ranges are for numbers, texts take * and ?"
        )
        raise CriterionInvalid(message)
    pattern = _pattern(body)
    return Entry(text, excludes, lambda value: pattern.fullmatch(folded(value)) is not None)


def is_number(value: str) -> bool:
    """Whether a value of a numeric attribute is one."""
    return bool(_numbers(value))


def folded(text: str) -> str:
    """``text`` as it is compared: composed, without case, without blanks at its ends."""
    return unicodedata.normalize("NFC", text).strip(" \0").casefold()


def _pattern(text: str) -> re.Pattern[str]:
    pieces = {"*": ".*", "?": "."}
    return re.compile("".join(pieces.get(c) or re.escape(c) for c in folded(text)), re.DOTALL)


def _number_test(body: str) -> Callable[[str], bool]:
    if body == "*":
        return lambda _: True
    comparison, between = _COMPARISON.fullmatch(body), _BETWEEN.fullmatch(body)
    if comparison:
        return _comparison(comparison.group(1), float(comparison.group(2)))
    if between:
        low, high = float(between.group(1)), float(between.group(2))
        if low > high:
            message = f"found the range '{body}', which is empty: write the smaller number first"
            raise CriterionInvalid(message)
        return lambda value: any(low <= n <= high for n in _numbers(value))
    if re.fullmatch(_N, body):
        wanted = float(body)
        return lambda value: any(n == wanted for n in _numbers(value))
    message = f"found '{body}'; allowed: a number, or a range such as {_RANGES}"
    raise CriterionInvalid(message)


def _comparison(sign: str, limit: float) -> Callable[[str], bool]:
    if sign == "<=":
        return lambda value: any(n <= limit for n in _numbers(value))
    if sign == ">=":
        return lambda value: any(n >= limit for n in _numbers(value))
    if sign == "<":
        return lambda value: any(n < limit for n in _numbers(value))
    return lambda value: any(n > limit for n in _numbers(value))


def _numbers(value: str) -> Sequence[float]:
    """The value as a number; nothing if the sender wrote something else into a numeric attribute."""
    try:
        number = float(value)
    except ValueError:
        return ()
    return (number,) if math.isfinite(number) else ()
