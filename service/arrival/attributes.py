"""What the slices of one series say of an attribute, and whether that satisfies a criterion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from service.config.criteria import CompiledCriterion, is_number
from service.dicom.library_errors import LIBRARY_ERRORS

Values = tuple[str, ...]


class Undecided(Enum):
    """Why a criterion can neither be said to match nor not to match."""

    DISAGREE = auto()
    UNREADABLE = auto()


class Attributes:
    """The values of all slices, each attribute read once; ``repr`` shows nothing of the patient.

    Args:
        headers: of the slices, at least one.
        association: ``calling_ae`` and ``called_ae``.
    """

    def __init__(self, headers: Sequence[Dataset], association: Mapping[str, str]) -> None:
        self._headers = headers
        self._distinct: dict[str, frozenset[Values | None]] = {
            key: frozenset({(title.strip(),) if title.strip() else ()}) for key, title in association.items()
        }

    def distinct(self, keyword: str) -> frozenset[Values | None]:
        """The different values that slices hold; ``()`` where absent or empty, None where unreadable."""
        if keyword not in self._distinct:
            self._distinct[keyword] = frozenset(values_of(header, keyword) for header in self._headers)
        return self._distinct[keyword]

    def is_absent(self, keyword: str) -> bool:
        """Whether no slice has a value."""
        return self.distinct(keyword) == {()}

    def satisfy(self, criterion: CompiledCriterion, *, all_equal: bool) -> bool | Undecided:
        """Whether the slices satisfy ``criterion``.

        Some do and some do not: ``DISAGREE``. With ``all_equal`` also where all do, but with different texts:
        one series then says two things. Numbers may differ as long as all satisfy it (blocks of slices).
        """
        distinct = self.distinct(criterion.keyword)
        readable = [values for values in distinct if values is not None]
        if len(readable) < len(distinct):
            return Undecided.UNREADABLE
        if criterion.numeric and not all(is_number(value) for values in readable for value in values):
            return Undecided.UNREADABLE
        outcomes = {criterion.matches(values) for values in readable}
        if len(outcomes) > 1:
            return Undecided.DISAGREE
        satisfied = outcomes == {True}
        if (
            satisfied
            and all_equal
            and len({_compared(values) for values in readable}) > 1
            and not criterion.numeric
        ):
            return Undecided.DISAGREE
        return satisfied


def shown_value(headers: Sequence[Dataset], keyword: str) -> str:
    """What the slices hold, for a person at the terminal who asked for it; never for a log."""
    distinct = {values_of(header, keyword) for header in headers}
    if len(distinct) > 1:
        return f"{len(distinct)} different values"
    values = distinct.pop() if distinct else ()
    if values is None:
        return "cannot be read"
    return "\\".join(values) or "absent"


def _compared(values: Values) -> Values:
    return tuple(value.casefold() for value in values)


def values_of(header: Dataset, keyword: str) -> Values | None:
    """All values as text, blanks trimmed, empty ones left out; None if they cannot be read."""
    try:
        value = header.get(keyword)
        if value is None:
            return ()
        values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
        texts = [_text(one) for one in values if one is not None]
    except LIBRARY_ERRORS:
        return None
    return tuple(text for text in texts if text)


def _text(value: object) -> str:
    text = str(value).strip(" \0")
    return text.rstrip("^ ") if isinstance(value, PersonName) else text
