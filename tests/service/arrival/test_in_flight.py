"""Data sets on their way in: one bound of memory for all of them, and nothing lost that goes beyond it."""

from __future__ import annotations

import tracemalloc

import pytest
from bare_sender import encoded

from service.arrival.in_flight import DataSetInFlight, ReceivingMemory
from service.backlog.spool import Spool
from service.errors import SpoolUnavailable

PDU = 100_000


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "storage")


def pdu(number: int, length: int = PDU) -> memoryview:
    return memoryview(bytearray([number]) * length)


def filled(memory, count, length=PDU):
    data_set = DataSetInFlight(memory)
    for number in range(count):
        data_set.add(pdu(number, length), length + 12)
    return data_set


def whole(data_set) -> bytes:
    return b"".join(data_set.parts())


def test_what_has_no_room_in_memory_goes_on_in_a_file_without_a_name(spool):
    memory = ReceivingMemory(spool, 2_000_000, 0)
    sets = [filled(memory, 4) for _ in range(10)]  # 4 MB in all, 0.4 MB each
    assert 1_200_000 < memory.held_bytes <= 2_000_000
    expected = b"".join(bytes([number]) * PDU for number in range(4))
    assert [whole(each) for each in sets] == [expected] * 10
    assert [each.length for each in sets] == [4 * PDU] * 10
    assert not [file for file in spool.storage.rglob("*") if file.is_file()]
    for each in sets:
        each.close()
    assert memory.held_bytes == 0


def test_one_alone_takes_no_more_than_its_share(spool):
    memory = ReceivingMemory(spool, 2_000_000, 0)
    large = filled(memory, 6)  # 600 kB of 500
    assert memory.held_bytes == 0
    assert len(whole(large)) == 6 * PDU
    large.close()


def test_small_pieces_hold_no_large_pdus_and_are_not_kept_one_by_one(spool):
    memory = ReceivingMemory(spool, 64 << 20, 0)
    data_set = DataSetInFlight(memory)
    tracemalloc.start()
    for number in range(20_000):
        data_set.add(memoryview(bytearray([number % 256]) * 1000)[:2], 1000)  # 20 MB, of which 40 kB count
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
    assert whole(data_set) == b"".join(bytes([number % 256]) * 2 for number in range(20_000))
    data_set.close()


def test_a_longer_one_than_is_wanted_is_counted_and_not_kept(spool):
    memory = ReceivingMemory(spool, 2_000_000, 0)
    data_set = filled(memory, 3)
    data_set.skip(pdu(3))
    assert (data_set.length, data_set.parts(), memory.held_bytes) == (4 * PDU, [], 0)


def test_where_the_disk_has_no_room_either_it_says_so_and_holds_nothing(spool):
    memory = ReceivingMemory(spool, 400_000, 1 << 62)
    data_set = filled(memory, 3)
    assert memory.held_bytes == 0
    with pytest.raises(SpoolUnavailable) as raised:
        data_set.parts()
    assert raised.value.code == "spool.space-low"


def test_instances_of_many_senders_beyond_the_memory_are_stored_byte_for_byte(start_scp, make_ct, eventually):
    running = start_scp(receiving_memory_mb=16, max_associations=40)
    half_sent = []
    for number in range(20):  # 20 MB in all, each less than its share
        ds = make_ct(number, PixelData=bytes([number]) * 1_000_000)
        data = encoded(ds)
        peer = running.associated()
        peer.send(peer.store_request(ds.SOPInstanceUID))
        half_sent.append((peer, data))
    for start in range(0, 900_000, PDU):  # all at the same time
        for peer, data in half_sent:
            peer.send(peer.p_data(1, 0, data[start : start + PDU]))
        assert running.scp.memory.held_bytes <= 16_000_000
    for peer, data in half_sent:
        peer.send(peer.p_data(1, 2, data[900_000:]))
        assert peer.response()[0x0900] == 0
    eventually(lambda: running.scp.memory.held_bytes == 0)  # given back just after the answer
    stored = {file.read_bytes()[-len(data) :] for file in running.spool.incoming.glob("*/*.dcm")}
    assert stored == {data for _, data in half_sent}


def test_without_room_in_memory_and_on_the_disk_the_answer_is_out_of_resources(start_scp, make_ct):
    running = start_scp(receiving_memory_mb=16, disk={"reserve_gb": 1e6})
    with running.associated() as peer:
        assert peer.store(make_ct(PixelData=bytes(5_000_000)), chunk=PDU) == 0xA700
        assert peer.echo() == 0
    assert not [file for file in running.spool.storage.rglob("*") if file.is_file()]


def test_one_that_breaks_off_gives_its_memory_back(start_scp, make_ct, eventually):
    running = start_scp()
    peer = running.associated()
    peer.begin_store(make_ct(PixelData=bytes(1_000_000)), 0.5)
    eventually(lambda: running.scp.memory.held_bytes > 400_000)
    peer.abort()
    eventually(lambda: running.scp.memory.held_bytes == 0)


def test_one_that_went_to_a_file_and_comes_again_is_a_duplicate_and_another_a_conflict(start_scp, make_ct):
    running = start_scp(receiving_memory_mb=16)
    with running.associated() as peer:
        large = {"PixelData": bytes(5_000_000)}
        assert [peer.store(make_ct(**large), chunk=PDU) for _ in range(2)] == [0, 0]
        assert peer.store(make_ct(PixelData=b"\1" * 5_000_000), chunk=PDU) == 0x0111
    assert len(list(running.spool.incoming.glob("*/*.dcm"))) == 1
