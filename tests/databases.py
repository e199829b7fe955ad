"""The databases that a whole node is tried on: SQLite, and a PostgreSQL server of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from postgresql import Unavailable, cluster

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)]
SQLITE_FIRST = BOTH if "DELINEATE_EVERY_DATABASE" in os.environ else BOTH[:1]
"""For tests that the suite runs on SQLite, and ``make databases`` on both."""


@contextmanager
def database_of(kind: str) -> Iterator[str]:
    """What ``node.database`` is to say; the test is skipped where no server can be started."""
    if kind == "sqlite":
        yield kind
        return
    try:
        with cluster() as server:
            yield server.new_database()
    except Unavailable as reason:
        pytest.skip(str(reason))
