"""What whole nodes are tried with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import BOTH, database_of


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """``sqlite``, or the URL of a PostgreSQL server of the test's own; both, unless a test names them."""
    with database_of(request.param) as database:
        yield database
