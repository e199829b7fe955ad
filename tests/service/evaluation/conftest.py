"""A ledger and its audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.backlog.audit import AuditTrail
from service.backlog.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'delineate.sqlite'}", tmp_path)
    ledger.migrate()
    yield ledger
    ledger.close()


@pytest.fixture
def audit(ledger: Ledger) -> AuditTrail:
    return AuditTrail(ledger)
