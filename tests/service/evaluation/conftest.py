"""A CT with the node's own structure set on it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from drawn_structures import ct_series, pelvis, segmentation, structure_set
from edited_sets import EditedSet

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
