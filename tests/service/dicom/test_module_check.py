from __future__ import annotations

import pydicom
import pytest
from drawn_structures import ct_series, pelvis, segmentation, structure_set
from module_check import Violation, violations


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    encoded = structure_set(ct_series(folder / "ct"), segmentation(pelvis())).encode()
    (folder / "rtstruct.dcm").write_bytes(encoded)
    return folder / "rtstruct.dcm"


def test_a_valid_set_has_no_violation(file):
    assert violations(pydicom.dcmread(file)) == ()


def test_what_is_missing_or_empty_is_found_in_sequences_too(file):
    ds = pydicom.dcmread(file)
    del ds.StructureSetLabel
    del ds.OperatorsName
    del ds.ROIContourSequence[3].ReferencedROINumber
    ds.RTROIObservationsSequence[0].ObservationNumber = None
    assert violations(ds) == (
        Violation("roi-contour", "ROIContourSequence/ReferencedROINumber", "1", "missing"),
        Violation("rt-roi-observations", "RTROIObservationsSequence/ObservationNumber", "1", "empty"),
        Violation("rt-series", "OperatorsName", "2", "missing"),
        Violation("structure-set", "StructureSetLabel", "1", "missing"),
    )


def test_an_optional_module_is_checked_only_when_it_is_there(file):
    ds = pydicom.dcmread(file)
    del ds.FrameOfReferenceUID
    assert Violation("frame-of-reference", "FrameOfReferenceUID", "1", "missing") in violations(ds)
    del ds.PositionReferenceIndicator
    assert not any(violation.module == "frame-of-reference" for violation in violations(ds))


def test_a_class_that_the_tables_do_not_know_is_no_silent_pass(file):
    ds = pydicom.dcmread(file)
    ds.SOPClassUID = "1.2.3"
    with pytest.raises(KeyError):
        violations(ds)
