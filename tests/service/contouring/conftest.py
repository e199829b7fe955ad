"""What the tests of the contouring workers begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from analytic_bundle import write_bundle

from service.backlog import engine
from service.backlog.ledger import Ledger


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "delineate.sqlite"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.migrate()
    ledger.close()
    engine.migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write_bundle(folder / "analytic")
    return folder
