"""Series: what arrival writes down, and what it must know after a restart."""

from __future__ import annotations

import dataclasses

import pytest

from service.backlog.ledger import LedgerRefused
from service.backlog.records import PatientIdentity, SeriesState


@pytest.fixture
def record(ledger, received, identity):
    """Records a series of so many instances and returns its row."""

    def make(count=3, state=SeriesState.ROUTED, uid="2.25.1", **more):
        with ledger.begin() as conn:
            return ledger.record_series(conn, received(uid, count), identity, state, **more)

    return make


def test_a_series_reads_back_with_its_identity(ledger, record, identity, spool):
    found = ledger.series(
        record(state=SeriesState.REFUSED, code="slices.hole", sentence="A slice is missing.")
    )
    assert found.identity == identity
    assert found.identity.patient_name == "Lindqvist^Åsa"
    assert (found.state, found.code, found.sentence) == (
        SeriesState.REFUSED,
        "slices.hole",
        "A slice is missing.",
    )
    assert (found.instances, found.revision, found.first_at, found.last_at) == (3, 1, 1000.0, 1003.0)
    assert found.folder == spool.series_folder("2.25.1")
    assert (found.calling_ae_title, found.called_ae_title) == ("SCANNER", "DELINEATE")
    assert ledger.find_series("2.25.1") is not None
    assert ledger.find_series("2.25.404") is None


def test_a_series_that_is_not_there_is_refused(ledger):
    with pytest.raises(LedgerRefused, match="no series 17"):
        ledger.series(17)


def test_the_same_series_recorded_twice_is_one_row_of_one_revision(ledger, record):
    assert record() == record()
    assert ledger.series(record()).revision == 1
    assert ledger.counts().series == {"routed": 1}


def test_more_instances_are_a_new_revision_fewer_are_not(ledger, record):
    series_id = record(3)
    record(4)
    assert ledger.series(series_id).revision == 2
    record(2)
    assert ledger.series(series_id).revision == 2


def test_instances_that_come_while_collecting_are_no_new_revision(ledger, record):
    series_id = record(1, SeriesState.COLLECTING)
    record(2, SeriesState.COLLECTING)
    record(3, SeriesState.ROUTED)
    assert ledger.series(series_id).revision == 1
    assert ledger.series(series_id).instances == 3


def test_a_series_that_comes_back_after_its_purge_is_a_new_revision(ledger, record):
    series_id = record()
    assert ledger.mark_series_purged(series_id, before=2e12)
    assert ledger.series(series_id).purged_at is not None
    record()
    assert ledger.series(series_id).revision == 2
    assert ledger.series(series_id).purged_at is None


def test_a_revision_can_be_begun_on_purpose(ledger, record):
    series_id = record()
    with ledger.begin() as conn:
        assert ledger.new_revision(conn, series_id) == 2
    assert ledger.series(series_id).revision == 2


def test_arrival_learns_which_folders_hold_nothing_new(ledger, record, spool):
    record(3)
    record(2, SeriesState.UNROUTED, "2.25.2")
    record(2, SeriesState.COLLECTING, "2.25.3")
    purged = record(2, uid="2.25.4")
    ledger.mark_series_purged(purged, before=2e12)
    assert ledger.recorded_series() == {
        spool.series_folder("2.25.1").name: 3,
        spool.series_folder("2.25.2").name: 2,
    }


def test_sending_again_is_counted_by_time(ledger):
    with ledger.begin() as conn:
        for at in (100.0, 500.0, 300.0):
            ledger.record_resend(conn, "2.25.1", at)
        ledger.record_resend(conn, "2.25.2", 400.0)
        assert ledger.resent("2.25.1", conn=conn) == [100.0, 300.0, 500.0]
    assert ledger.resent("2.25.1", since=300.0) == [300.0, 500.0]
    assert ledger.resent("2.25.3") == []


def test_a_configuration_is_kept_once_by_its_version(ledger):
    with ledger.begin() as conn:
        ledger.save_config(conn, "0123456789ab", "node: {}")
        ledger.save_config(conn, "0123456789ab", "node: {}")
    assert ledger.config_text("0123456789ab") == "node: {}"
    with pytest.raises(LedgerRefused, match="no configuration of version"):
        ledger.config_text("ffffffffffff")


def test_names_of_every_script_come_back_as_they_were(ledger, received):
    names = ("Иванов^Пётр", "山田^太郎=ヤマダ^タロウ", "김^희중", "王^小東", "Ñandú^Żółć", "", "O'Brien^X\\Y")
    for number, name in enumerate(names):
        with ledger.begin() as conn:
            identity = PatientIdentity(patient_name=name, patient_id=name[:3])
            row = ledger.record_series(conn, received(f"2.25.{number}"), identity, SeriesState.ROUTED)
        assert ledger.series(row).identity == identity


def test_a_late_series_keeps_its_first_arrival(ledger, received, identity):
    with ledger.begin() as conn:
        row = ledger.record_series(conn, received(at=2000.0), identity, SeriesState.ROUTED)
        later = dataclasses.replace(received(count=4), first_at=5000.0, last_at=5001.0)
        ledger.record_series(conn, later, identity, SeriesState.ROUTED)
    assert (ledger.series(row).first_at, ledger.series(row).last_at) == (2000.0, 5001.0)
