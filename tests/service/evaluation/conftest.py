"""A CT with the node's own structure set on it; a ledger and its audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from drawn_structures import ct_series, pelvis, segmentation, structure_set
from edited_sets import EditedSet

from service.backlog.audit import AuditTrail
from service.backlog.ledger import Ledger
from service.dicom.ct_geometry import CtGeometry
from service.dicom.structure_set_reader import read_structure_set


@dataclass(frozen=True)
class OurCt:
    geometry: CtGeometry
    encoded: bytes

    def edited(self, **how: str) -> EditedSet:
        return EditedSet(self.encoded, **how)


@pytest.fixture(scope="session")
def our_ct(tmp_path_factory: pytest.TempPathFactory) -> OurCt:
    series = ct_series(tmp_path_factory.mktemp("our-ct"))
    encoded = structure_set(series, segmentation(pelvis())).encode()
    return OurCt(CtGeometry.of_set(series.grid, read_structure_set(encoded)), encoded)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'delineate.sqlite'}", tmp_path)
    ledger.migrate()
    yield ledger
    ledger.close()


@pytest.fixture
def audit(ledger: Ledger) -> AuditTrail:
    return AuditTrail(ledger)
