"""highdicom's table of the attributes of every module (PS3.3), read module by module.

The table is 22 MB of JSON, which highdicom reads whole for the first object that it makes: half a second,
and 65 MiB for the life of the process. An RT Structure Set needs sixteen of its 435 modules. Those are read
from the same file, when they are first asked for; what highdicom makes of them is left to it.
"""

from __future__ import annotations

import json
import mmap
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import as_file, files
from typing import Any

from highdicom import _standard_utils

Attributes = list[dict[str, Any]]
_FILE = files("highdicom") / "_standard" / "module_attribute_map.json"


class ModuleTable(Mapping[str, Attributes]):
    """Attributes of each module by its key, e.g. ``rt-roi-observations``, as highdicom's file has them."""

    def __init__(self) -> None:
        self._read: dict[str, Attributes] = {}

    def __getitem__(self, key: str) -> Attributes:
        if key not in self._read:
            place = self._places[key]
            with as_file(_FILE) as path, path.open("rb") as file:
                file.seek(place.start)
                text = file.read(place.stop - place.start)
            self._read[key] = json.loads(text[: text.rindex(b"]") + 1], object_hook=_shared)
        return self._read[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @cached_property
    def _places(self) -> dict[str, range]:
        """Where in the file each module's list begins, and where at the latest it has ended."""
        with (
            as_file(_FILE) as path,
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text,
        ):
            found = [(name[1].decode(), name.span()) for name in re.finditer(rb'\n  "([^"]+)": ', text)]
            ends = [*(begin for _, (begin, _) in found[1:]), text.rfind(b"}")]
        return {key: range(begin, end) for (key, (_, begin)), end in zip(found, ends, strict=True)}


def _shared(attribute: dict[str, Any]) -> dict[str, Any]:
    """The same with each word once in memory, however many attributes lie on a path."""
    attribute["path"] = [sys.intern(keyword) for keyword in attribute["path"]]
    return attribute | {key: sys.intern(attribute[key]) for key in ("keyword", "type")}


def read_module_by_module() -> None:
    """Have highdicom, for the rest of this process, look modules up in a :class:`ModuleTable`.

    Its function for the whole table is private in 0.28, hence the pinned version and a test of both.
    """
    table = ModuleTable()
    _standard_utils.get_module_attribute_map = lambda: table  # type: ignore[assignment]
