"""A series found again from its files."""

from __future__ import annotations

import os

import pydicom
import pytest

from service.arrival.instance import Claim, Origin, check_header
from service.arrival.spooled_series import (
    AssociationEnd,
    count_instances,
    ended_well,
    file_header,
    mark_end,
    read_folder,
    read_instance,
)
from service.backlog.spool import Spool
from service.errors import InstanceRefused

ORIGIN = Origin("ECLIPSE", "DELINEATE", "192.0.2.7")


def store(spool, ds, data, syntax="1.2.840.10008.1.2.1"):
    claim = Claim(ds.SOPClassUID, ds.SOPInstanceUID, syntax)
    return spool.store(ds.SeriesInstanceUID, ds.SOPInstanceUID, [file_header(claim, ORIGIN), data])


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
def test_a_stored_instance_is_read_back_as_it_was_received(tmp_path, make_ct, encode, syntax):
    ds = make_ct(5)
    data = encode(ds, syntax)
    file = store(Spool(tmp_path), ds, data, syntax).file
    os.utime(file, (1_800_000_000, 1_800_000_000))
    claim = Claim(ds.SOPClassUID, ds.SOPInstanceUID, syntax)
    expected = check_header([data], claim).as_received(syntax, ORIGIN, 1_800_000_000.0, file)
    assert read_instance(file) == expected


def test_the_file_is_a_part_10_file_whose_data_set_is_byte_for_byte_what_came(tmp_path, make_ct, encode):
    ds = make_ct()
    file = store(Spool(tmp_path), ds, encode(ds)).file
    found = pydicom.dcmread(file)
    assert file.read_bytes().endswith(encode(ds))
    assert found == ds
    meta = found.file_meta
    assert (meta.SourceApplicationEntityTitle, meta.ReceivingApplicationEntityTitle) == (
        "ECLIPSE",
        "DELINEATE",
    )
    assert meta.SourcePresentationAddress == "192.0.2.7"
    assert meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert meta.ImplementationClassUID.is_valid


def test_large_private_elements_in_front_do_not_hide_an_instance(tmp_path, make_ct, encode):
    ds = make_ct()
    ds.add_new(0x00090010, "LO", "TEST")
    ds.add_new(0x00091001, "OB", bytes(200_000))
    assert read_instance(store(Spool(tmp_path), ds, encode(ds)).file).position_lps_mm is not None


def test_a_folder_gives_its_instances_by_time_of_arrival_and_counts_the_damaged(tmp_path, make_ct, encode):
    spool = Spool(tmp_path)
    for number, at in ((1, 30.0), (2, 10.0), (3, 20.0)):
        ds = make_ct(number)
        file = store(spool, ds, encode(ds)).file
        os.utime(file, (at, at))
    folder = spool.series_folder("2.25.20")
    (folder / ".half.part").write_bytes(b"half")
    (folder / "damaged.dcm").write_bytes(b"\0" * 500)
    instances, unreadable = read_folder(folder)
    assert [instance.received_at for instance in instances] == [10.0, 20.0, 30.0]
    assert unreadable == 1
    assert count_instances(folder) == 4


@pytest.mark.parametrize("length", [0, 10, 140, 300, 500])
def test_a_file_cut_short_is_named_damaged(tmp_path, make_ct, encode, length):
    ds = make_ct()
    file = store(Spool(tmp_path), ds, encode(ds)).file
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(InstanceRefused):
        read_instance(file)


def test_how_an_association_ended_is_known_only_for_what_lay_there_then(tmp_path):
    assert ended_well(tmp_path, 0) is None
    mark_end(tmp_path, AssociationEnd(released=True, instances=5))
    assert ended_well(tmp_path, 5) is True
    assert ended_well(tmp_path, 6) is None
    mark_end(tmp_path, AssociationEnd(released=False, instances=5))
    assert ended_well(tmp_path, 5) is False


def test_a_mark_that_cannot_be_read_says_nothing(tmp_path):
    mark_end(tmp_path, AssociationEnd(released=True, instances=5))
    (tmp_path / ".association-end").write_text("{", encoding="ascii")
    assert ended_well(tmp_path, 5) is None
