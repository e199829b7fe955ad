"""Anything is killed at any time, and nothing is lost, doubled or run twice at once: the short form of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.chaos import chaos, is_as_it_must_be
from faults.chaos_picture import draw
from postgresql import Unavailable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SERIES = 20
KILLING_SECONDS = 10.0


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def test_whatever_is_killed_every_ct_becomes_one_set_at_each_destination(
    tmp_path: Path, database: str
) -> None:
    try:
        with chaos(tmp_path, database, SERIES, 7, print) as run:
            found = run.run(KILLING_SECONDS)
            draw(run, found, tmp_path / "chaos.png")
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert is_as_it_must_be(found), found
    assert found["sets"] == 2 * SERIES
    assert found["images"] == sum(len(files) for sender in run.site.senders for files in sender.series)
    assert {"arrival", "work"} <= set(found["kills_by_role"])
    assert found["runs_of_the_model"] >= SERIES
