from __future__ import annotations

import uuid

import pytest
from pydicom.uid import UID

from service.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, derived_uid


def test_the_same_parts_give_the_same_uid_and_others_another():
    assert derived_uid("2.25", "job", 1) == derived_uid("2.25", "job", 1)
    assert len({derived_uid("2.25", "job", n) for n in range(1000)}) == 1000
    assert derived_uid("2.25", "ab", "c") != derived_uid("2.25", "a", "bc")


def test_under_2_25_the_number_is_that_of_a_uuid():
    number = int(derived_uid("2.25", "job").removeprefix("2.25."))
    made = uuid.UUID(int=number)
    assert made.variant == uuid.RFC_4122
    assert made.version == 8


@pytest.mark.parametrize("root", ["2.25", "1.2.826.0.1.3680043.10", "1.2.840.113619.6.2.3.4.5"])
def test_uids_are_valid_and_fit_whatever_the_root(root):
    for n in range(200):
        uid = derived_uid(root, n)
        assert UID(uid).is_valid
        assert uid.startswith(f"{root}.")
        assert len(uid) <= 64


def test_we_name_ourselves_within_the_limits():
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
