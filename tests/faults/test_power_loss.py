"""The power is cut while CTs are under way, and what was acknowledged is there: the short form of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import disk
from faults.power_loss import is_as_it_must_be, power_loss
from postgresql import Unavailable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CUTS = 3


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def test_what_was_acknowledged_survives_a_loss_of_power(tmp_path: Path, database: str) -> None:
    try:
        with power_loss(tmp_path, database, CUTS, 3, print) as run:
            found = run.run(CUTS, 300)
    except (Unavailable, disk.Unavailable) as reason:
        pytest.skip(str(reason))
    assert is_as_it_must_be(found), found
    assert found["cuts"] == CUTS
    assert run.cuts[-1] > 0  # images had been acknowledged when the power went
    assert found["sets"] == 2 * found["series"]


def test_without_fsync_it_would_not_survive(tmp_path: Path) -> None:
    """Proof that the test above can fail."""
    if not list(Path("/usr/lib").glob("*/libeatmydata.so")):
        pytest.skip("libeatmydata is not installed (Debian: libeatmydata1)")
    try:
        with power_loss(tmp_path, "sqlite", 1, 3, print, careless=True) as run:
            found = run.run(1, 0)
    except disk.Unavailable as reason:
        pytest.skip(str(reason))
    assert run.cuts[-1] > 0
    assert found["lost"] > 0
