"""Several files that are one object: a JSON file, written last, names the others and their common UID."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class NoFileSet(ValueError):
    """The JSON file is not there, or is none of ours."""


def instance_uid_of(manifest: Path) -> str:
    """What the files are known by, fixed before they are brought anywhere.

    Raises:
        NoFileSet: it is no such file.
    """
    return str(_read(manifest)["instance_uid"])


def files_of(manifest: Path) -> list[Path]:
    """The files that it names, each once, and it at the end; all beside it.

    Raises:
        NoFileSet: it is no such file.
    """
    names = dict.fromkeys(str(each["file"]) for each in _read(manifest)["structures"])
    return [*(manifest.parent / Path(name).name for name in names), manifest]


def _read(manifest: Path) -> dict[str, Any]:
    try:
        found = json.loads(manifest.read_bytes())
        found["instance_uid"], [each["file"] for each in found["structures"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = "no set of files"
        raise NoFileSet(message) from error
    return dict(found)
