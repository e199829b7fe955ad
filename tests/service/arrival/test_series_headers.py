"""Headers that pydicom cannot read end in a refusal that people see, never in trying again for ever."""

from __future__ import annotations

import struct

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from service.arrival.series_headers import identity_of
from service.backlog.records import SeriesState

SERIES = "2.25.20"
UNDEFINED = 0xFFFFFFFF


def endless_sequence(vr: bytes) -> bytes:
    """A private sequence of undefined length, (0021,1001), that holds no items (PS3.5 section 7.5)."""
    return struct.pack("<HH2sHI", 0x21, 0x1001, vr, 0, UNDEFINED) + b"garbage." * 4


@pytest.mark.parametrize("vr", [b"SQ", b"UN"])
def test_a_header_that_breaks_off_the_reading_is_refused_and_people_told(make_desk, vr):
    desk = make_desk()
    desk.send(range(10))
    file = desk.spool.instance_file(SERIES, f"{SERIES}.3")
    before, rows, after = file.read_bytes().partition(struct.pack("<HH2s", 0x28, 0x02, b"US"))
    file.write_bytes(before + endless_sequence(vr) + rows + after)
    desk.wait(4)
    assert (desk.series().state, desk.series().code) == (SeriesState.REFUSED, "spool.file-damaged")
    assert desk.told.codes == ["spool.file-damaged"]


def test_a_spool_that_does_not_answer_is_no_damaged_file(make_desk):
    desk = make_desk()
    desk.send(range(10))
    file = desk.spool.instance_file(SERIES, f"{SERIES}.3")
    hidden = file.rename(file.with_suffix(".away"))
    desk.wait(4)
    assert desk.ledger.find_series(SERIES) is None
    hidden.rename(file)
    desk.wait(4)
    assert desk.series().state is SeriesState.ROUTED


@pytest.mark.parametrize("vr", ["US", "FD"])
def test_an_identity_that_cannot_be_read_is_empty_and_loses_no_ct(vr):
    header = Dataset()
    header[0x00100020] = RawDataElement(BaseTag(0x00100020), vr, 3, b"P1 ", 0, False, True)
    assert identity_of(header).patient_id == ""


def test_what_no_database_takes_is_left_out_of_an_identity():
    header = Dataset()
    header.add_new("PatientID", "LO", "P\0 1")
    header.add_new("PatientName", "PN", "Canary\udcff^Patient")
    identity = identity_of(header)
    assert (identity.patient_id, identity.patient_name) == ("P 1", "Canary?^Patient")
