"""Which keys count only after a restart, and which of them have changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

if TYPE_CHECKING:
    from service.config.site import Site

FIXED: Final = ("node", "console")
"""Sections whose changes wait for a restart."""


def waiting_keys(started: Site, site: Site) -> Iterator[str]:
    """Keys of those sections that differ from what the node was started with, e.g. ``node.port``."""
    for name in FIXED:
        yield from _changed_keys(getattr(started, name), getattr(site, name), name)


def _changed_keys(old: BaseModel, new: BaseModel, prefix: str) -> Iterator[str]:
    for key in type(old).model_fields:
        before, after = getattr(old, key), getattr(new, key)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from _changed_keys(before, after, f"{prefix}.{key}")
        elif before != after:
            yield f"{prefix}.{key}"
