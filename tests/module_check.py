"""Checks an instance against the module tables of PS3.3 that highdicom carries, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from highdicom._standard_utils import (
    get_iod_module_map,
    get_module_attribute_map,
    get_sop_class_iod_map,
)
from pydicom import Dataset


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """An attribute that breaks its module's table.

    Attributes:
        module: for example ``structure-set``.
        attribute: keywords from the top of the data set, joined by slashes.
        type: 1 or 2 (PS3.5 7.4).
        fault: missing or empty.
    """

    module: str
    attribute: str
    type: str
    fault: str


def violations(ds: Dataset) -> tuple[Violation, ...]:
    """Attributes of type 1 that are missing or empty and of type 2 that are missing, in sequences too.

    Mandatory modules are checked, and others when one of their attributes is there. Conditions (types 1C and
    2C) are not.

    Raises:
        KeyError: the SOP class is not in the tables.
    """
    attributes = get_module_attribute_map()
    modules = get_iod_module_map()[get_sop_class_iod_map()[ds.SOPClassUID]]
    found = set()
    for module in modules:
        table = attributes[module["key"]]
        if module["usage"] == "M" or any(row["keyword"] in ds for row in table if not row["path"]):
            for row in table:
                if row["type"] in ("1", "2"):
                    found |= set(_faults(ds, module["key"], row["path"], row["keyword"], row["type"]))
    return tuple(sorted(found))


def _faults(ds: Dataset, module: str, path: list[str], keyword: str, kind: str) -> Iterator[Violation]:
    attribute = "/".join([*path, keyword])
    for item in _items(ds, path):
        if keyword not in item:
            yield Violation(module, attribute, kind, "missing")
        elif kind == "1" and item[keyword].is_empty:
            yield Violation(module, attribute, kind, "empty")


def _items(ds: Dataset, path: list[str]) -> Iterator[Dataset]:
    """All items that a path of sequences leads to."""
    if not path:
        yield ds
    elif path[0] in ds:
        for item in ds[path[0]].value or ():
            yield from _items(item, path[1:])
