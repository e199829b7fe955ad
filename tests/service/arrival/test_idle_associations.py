"""Associations that say nothing: how long they stay, and for whom they make room."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time

import pytest
from bare_sender import EXPLICIT, encoded
from pydicom.dataset import FileMetaDataset

PATIENT = {"idle_seconds": 1.0, "network_timeout_seconds": 120}


@pytest.fixture(autouse=True)
def a_machine_with_much_else_to_do(monkeypatch):
    monkeypatch.setattr("service.arrival.storage_scp.GIVE_WAY_SECONDS", 30.0)


@pytest.fixture
def fill(start_scp, eventually):
    """A node whose places are all taken by associations that have spoken and are silent now."""

    def taken(count):
        running = start_scp(max_associations=count, **PATIENT)
        silent = []
        for _ in range(count):
            silent.append(running.associated())
            assert silent[-1].echo() == 0
        wait_for_silence(running, eventually)
        return running, silent

    return taken


def wait_for_silence(running, eventually):
    eventually(lambda: all(each.silent_seconds >= 1.0 for each in list(running.scp._open)))


def events(caplog, name):
    return [record for record in caplog.records if record.getMessage() == name]


def test_who_says_nothing_after_the_acceptance_is_aborted_and_who_has_spoken_may_think(start_scp, make_ct):
    running = start_scp(**PATIENT)
    thinking = running.associated()
    assert thinking.echo() == 0
    begun = time.monotonic()
    silent = running.associated()
    assert silent.ending() == "abort"
    assert time.monotonic() - begun >= 1.0
    time.sleep(1.0)  # twice as long as who says nothing may stay
    assert thinking.store(make_ct()) == 0
    thinking.release()


def test_at_the_limit_the_silent_make_room_those_first_who_have_stored_nothing(
    start_scp, make_ct, caplog, eventually
):
    running = start_scp(max_associations=2, **PATIENT)
    storing = running.associated()
    assert storing.store(make_ct()) == 0  # is silent for longer, and has stored something
    asking = running.associated()
    assert asking.echo() == 0
    wait_for_silence(running, eventually)
    third = running.associated()
    assert asking.ending() == "abort"
    assert third.echo() == 0
    assert running.scp.open_associations == 2
    assert storing.store(make_ct(2)) == 0
    (record,) = events(caplog, "association.gave-way")
    assert record.facts_["address"] == "127.0.0.1"
    assert third.store(make_ct(3)) == 0
    wait_for_silence(running, eventually)
    running.associated()
    assert storing.ending() == "abort"
    eventually(lambda: (1, False) in running.heard.ends)  # as a sender that broke off


def test_as_many_as_come_at_once_take_the_places_of_as_many_that_are_silent(fill):
    running, silent = fill(8)
    coming = [running.peer() for _ in range(8)]
    for peer in coming:
        peer.socket.settimeout(30)
        peer.request()
    assert [peer.pdu()[0] for peer in coming] == [2] * 8
    assert {peer.ending() for peer in silent} == {"abort"}
    assert running.scp.open_associations <= 8


def test_who_is_in_the_middle_of_an_instance_makes_no_room(start_scp, make_ct):
    running = start_scp(max_associations=1, **PATIENT)
    slow, ds = running.associated(), make_ct()
    data = encoded(ds)
    half = len(data) // 2 & ~1
    slow.send(slow.store_request(ds.SOPInstanceUID) + slow.p_data(1, 0, data[:half]))
    time.sleep(1.2)
    with running.peer() as other:
        assert other.rejection() == (2, 3, 2)
    slow.send(slow.p_data(1, 2, data[half:]))
    assert slow.response()[0x0900] == 0


def test_who_has_just_spoken_makes_no_room(start_scp):
    running = start_scp(max_associations=1, network_timeout_seconds=60)
    busy = running.associated()
    assert busy.echo() == 0
    with running.peer() as other:
        assert other.rejection() == (2, 3, 2)
    assert busy.echo() == 0


def test_who_is_asked_to_make_room_and_speaks_stays(fill, eventually, monkeypatch):
    monkeypatch.setattr(
        "service.arrival.pdu_stream._LOOK_UP_SECONDS", 60.0
    )  # it notices late that it is asked
    running, (staying,) = fill(1)
    (association,) = running.scp._open
    answers: list[tuple[int, int, int]] = []
    other = running.peer()
    asking = threading.Thread(target=lambda: answers.append(other.rejection()))
    asking.start()
    eventually(lambda: association.gives_way)
    assert staying.echo() == 0
    asking.join(8)
    assert answers == [(2, 3, 2)]
    assert staying.echo() == 0


def test_connections_that_ask_for_nothing_keep_nobody_out(
    start_scp, make_ct, monkeypatch, caplog, eventually
):
    monkeypatch.setattr("service.arrival.listener.PATIENCE_SECONDS", 0.5)
    running = start_scp(max_associations=1, **PATIENT)
    silent = [running.peer() for _ in range(65)]  # all that are heard out: one and 64 to spare
    for peer in silent[:5]:
        peer.send(b"\1\0\0\0\1\0half a request")
    time.sleep(0.6)
    for number in range(3):
        with running.associated() as other:
            assert other.store(make_ct(number)) == 0
            other.release()
    eventually(lambda: events(caplog, "association.gave-way"))
    eventually(lambda: sum(map(_is_closed, silent)) == len(events(caplog, "association.gave-way")))
    assert 1 <= len(events(caplog, "association.gave-way")) <= 4


def _is_closed(peer) -> bool:
    peer.socket.settimeout(0.05)
    try:
        return peer.socket.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.peer
def test_dcmtk_gets_in_where_all_places_are_taken_by_the_silent(fill, make_ct, tmp_path):
    storescu = shutil.which("storescu")
    if storescu is None:
        pytest.skip("DCMTK is not installed")
    file = tmp_path / "slice.dcm"
    ds = make_ct()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    ds.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
    running, _ = fill(3)
    command = [storescu, "-aet", "ECLIPSE", "-aec", "DELINEATE", "127.0.0.1", str(running.port), str(file)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    assert len(list(running.spool.incoming.glob("*/*.dcm"))) == 1
