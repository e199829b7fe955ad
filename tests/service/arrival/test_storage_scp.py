"""The Storage SCP against senders made of bytes: what it takes, refuses, rejects and survives."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from pathlib import Path

import pydicom
import pytest

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
RT_STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
JPEG_2000 = "1.2.840.10008.1.2.4.90"


def files(running):
    return sorted(running.spool.incoming.glob("*/*.dcm"))


def leftovers(running):
    return [file for file in running.spool.storage.rglob("*") if file.name.endswith(".part")]


# what is taken


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_slice_is_stored_byte_for_byte_and_told(start_scp, make_ct, encode, syntax):
    running = start_scp()
    ds = make_ct(4)
    with running.associated(contexts={1: (CT, [syntax])}) as peer:
        assert peer.store(ds, syntax=syntax) == 0x0000
        peer.release()
    (file,) = files(running)
    assert file.read_bytes().endswith(encode(ds, syntax))
    assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == syntax
    ((_, instance, new),) = running.heard.arrived_
    assert (instance.file, new, instance.calling_ae_title) == (file, True, "ECLIPSE")
    assert (instance.sender_address, instance.position_lps_mm) == ("127.0.0.1", (-250.0, -250.0, 12.0))
    assert running.heard.ends == [(1, True)]


def test_no_uid_and_no_patient_value_is_a_name_on_disk(start_scp, make_ct):
    running = start_scp()
    with running.associated() as peer:
        peer.store(make_ct())
    names = " ".join(str(path) for path in running.spool.storage.rglob("*"))
    assert "2.25.20" not in names
    assert "Canary" not in names


def test_an_echo_is_answered(start_scp):
    with start_scp().associated() as peer:
        assert peer.echo() == 0x0000
        peer.release()


@pytest.mark.parametrize("chunk", [64, 100_000])
def test_a_data_set_may_come_in_pieces_of_any_size(start_scp, make_ct, encode, chunk):
    running = start_scp()
    ds = make_ct()
    with running.associated() as peer:
        assert peer.store(ds, chunk=chunk) == 0x0000
    assert files(running)[0].read_bytes().endswith(encode(ds))


def test_answers_are_cut_to_what_the_peer_takes(start_scp, make_ct):
    running = start_scp()
    with running.associated(max_pdu=64) as peer:
        assert peer.store(make_ct()) == 0x0000
        peer.release()


def test_the_same_instance_twice_is_one(start_scp, make_ct):
    running = start_scp()
    with running.associated() as peer:
        assert [peer.store(make_ct()), peer.store(make_ct())] == [0, 0]
    assert len(files(running)) == 1
    assert [new for _, _, new in running.heard.arrived_] == [True, False]


def test_other_content_under_a_known_uid_is_set_aside_and_answered_as_duplicate(start_scp, make_ct, encode):
    running = start_scp()
    with running.associated() as peer:
        assert peer.store(make_ct(1)) == 0x0000
        assert peer.store(make_ct(1, RescaleIntercept=0)) == 0x0111
    assert files(running)[0].read_bytes().endswith(encode(make_ct(1)))
    (aside,) = running.spool.set_aside.glob("*/*.dcm")
    assert aside.read_bytes().endswith(encode(make_ct(1, RescaleIntercept=0)))
    assert len(running.heard.conflicts) == 1
    assert len(running.heard.arrived_) == 1


def test_a_structure_set_is_kept_apart_from_the_series(start_scp, make_ct):
    running = start_scp()
    ds = make_ct(SOPClassUID=RT_STRUCTURE_SET, Modality="RTSTRUCT", ImagePositionPatient=None)
    with running.associated(contexts={1: (RT_STRUCTURE_SET, [IMPLICIT])}) as peer:
        assert peer.store(ds, syntax=IMPLICIT) == 0x0000
        peer.release()
    assert len(list(running.spool.structure_sets.glob("*.dcm"))) == 1
    assert not files(running)
    assert not running.heard.arrived_


def test_plans_to_be_discarded_are_answered_counted_and_thrown_away(start_scp, make_ct):
    running = start_scp(accept_and_discard=["RT Plan Storage"])
    ds = make_ct(SOPClassUID=RT_PLAN, Modality="RTPLAN")
    with running.associated(contexts={1: (RT_PLAN, [EXPLICIT])}) as peer:
        assert [peer.store(ds), peer.store(ds)] == [0, 0]
        peer.release()
    assert running.scp.discarded == {RT_PLAN: 2}
    assert not [path for path in running.spool.storage.rglob("*") if path.is_file()]


def test_an_enhanced_ct_to_be_discarded_is_not_kept(start_scp, make_ct):
    enhanced = "1.2.840.10008.5.1.4.1.1.2.1"
    running = start_scp(accept_and_discard=["Enhanced CT Image Storage"])
    with running.associated(contexts={1: (enhanced, [EXPLICIT])}) as peer:
        assert peer.store(make_ct(SOPClassUID=enhanced)) == 0
        peer.release()
    assert running.scp.discarded == {enhanced: 1}
    assert not [path for path in running.spool.storage.rglob("*") if path.is_file()]


# what is negotiated


def results(acceptance: bytes) -> dict[int, tuple[int, str]]:
    """Result and transfer syntax by presentation context id (PS3.8 Table 9-18)."""
    found, place = {}, 68
    while place < len(acceptance):
        kind, length = struct.unpack_from(">BxH", acceptance, place)
        if kind == 0x21:
            number, result = acceptance[place + 4], acceptance[place + 6]
            found[number] = result, acceptance[place + 12 : place + 4 + length].decode()
        place += 4 + length
    return found


def test_pixels_as_they_are_are_preferred_and_what_is_not_taken_is_refused_by_context(start_scp):
    contexts = {
        1: (CT, [JPEG_2000, IMPLICIT, EXPLICIT]),
        3: (CT, [JPEG_2000]),
        5: (CT, ["1.2.840.10008.1.2.2"]),
        7: (MR, [EXPLICIT]),
        9: ("1.2.840.10008.5.1.4.1.1.2.1", [EXPLICIT]),
        11: (RT_STRUCTURE_SET, [JPEG_2000]),
    }
    with start_scp().peer() as peer:
        found = results(peer.associate(contexts=contexts))
    assert {number: result for number, (result, _) in found.items()} == {1: 0, 3: 0, 5: 4, 7: 3, 9: 3, 11: 4}
    assert (found[1][1], found[3][1]) == (EXPLICIT, JPEG_2000)


def test_enhanced_ct_is_accepted_where_the_site_says_so(start_scp):
    with start_scp(enhanced_ct=True).peer() as peer:
        acceptance = peer.associate(contexts={1: ("1.2.840.10008.5.1.4.1.1.2.1", [EXPLICIT])})
    assert results(acceptance)[1][0] == 0


def test_128_presentation_contexts_are_negotiated(start_scp, make_ct):
    contexts = {number: (CT if number == 255 else MR, [IMPLICIT, EXPLICIT]) for number in range(1, 256, 2)}
    running = start_scp()
    with running.peer() as peer:
        found = results(peer.associate(contexts=contexts))
        assert [number for number, (result, _) in found.items() if result == 0] == [255]
        assert len(found) == 128
        assert peer.store(make_ct(), context=255) == 0x0000


# what is refused


def test_a_data_set_that_is_not_what_its_context_says_is_refused_and_the_association_goes_on(
    start_scp, make_ct
):
    running = start_scp()
    with running.associated() as peer:
        assert peer.store(make_ct(Modality="MR")) == 0xA900
        assert peer.store(make_ct(SOPClassUID=MR), sop_class=CT) == 0xA900
        assert peer.store(make_ct(), sop_class=MR) == 0x0122
        assert peer.store(make_ct(1), uid="2.25.20.2") == 0xA900
        assert peer.store(make_ct(ImagePositionPatient="")) == 0xA900
        assert peer.store(make_ct(SeriesInstanceUID="")) == 0xA900
        assert peer.store(make_ct(), syntax=IMPLICIT) == 0xC000
        assert peer.store(make_ct()) == 0x0000
    assert len(files(running)) == 1
    assert not leftovers(running)


def test_a_path_as_a_uid_writes_nothing(start_scp, make_ct):
    running = start_scp()
    ds = make_ct(SOPInstanceUID=None)
    ds.add_new(0x00080018, "LO", "../../../escaped")
    with running.associated() as peer:
        assert peer.store(ds, uid="../../../escaped") == 0xA900
    assert not [path for path in running.spool.storage.rglob("*") if path.is_file()]


def test_with_too_little_space_left_nothing_is_written(start_scp, make_ct):
    running = start_scp(disk={"reserve_gb": 1e6})
    with running.associated() as peer:
        assert peer.store(make_ct()) == 0xA700
    assert not [path for path in running.spool.storage.rglob("*") if path.is_file()]


def test_over_budget_nothing_is_written_until_there_is_room_again(start_scp, make_ct):
    running = start_scp()
    running.spool.over_budget.touch()
    with running.associated() as peer:
        assert peer.store(make_ct()) == 0xA700
        running.spool.over_budget.unlink()
        assert not [path for path in running.spool.storage.rglob("*") if path.is_file()]
        assert peer.store(make_ct()) == 0x0000


def test_a_spool_that_cannot_be_written_is_out_of_resources_and_comes_back(start_scp, make_ct):
    running = start_scp()
    running.spool.incoming.rmdir()
    running.spool.incoming.write_text("in the way", encoding="ascii")
    with running.associated() as peer:
        assert peer.store(make_ct()) == 0xA700
        running.spool.incoming.unlink()
        assert peer.store(make_ct()) == 0x0000


# who may call


def test_an_unknown_calling_ae_title_is_rejected_1_1_3(start_scp):
    with start_scp().peer() as peer:
        assert peer.rejection(calling="NOBODY") == (1, 1, 3)


def test_an_unknown_called_ae_title_is_rejected_1_1_7(start_scp):
    with start_scp().peer() as peer:
        assert peer.rejection(called="OTHER") == (1, 1, 7)


def test_ae_titles_are_compared_with_case(start_scp):
    with start_scp().peer() as peer:
        assert peer.rejection(calling="eclipse") == (1, 1, 3)


def test_the_node_may_ask_itself_whether_it_is_there_and_may_store_nothing(start_scp, make_ct):
    running = start_scp()
    with running.associated(calling="DELINEATE") as peer:
        assert peer.echo() == 0x0000
        assert peer.store(make_ct()) == 0x0124
    assert not files(running)


def test_a_further_called_ae_title_is_answered(start_scp):
    with start_scp(also_called=["PELVIS"]).associated(called="PELVIS") as peer:
        assert peer.echo() == 0


def test_a_caller_from_another_address_is_rejected_1_1_1_and_its_address_logged(start_scp, caplog):
    running = start_scp(senders={"ECLIPSE": {"addresses": ["192.0.2.0/24"]}})
    with running.peer() as peer:
        assert peer.rejection() == (1, 1, 1)
    (record,) = [r for r in caplog.records if r.getMessage() == "association.address-not-allowed"]
    assert record.facts_["address"] == "127.0.0.1"


def test_a_caller_from_its_own_network_is_let_in(start_scp):
    running = start_scp(senders={"ECLIPSE": {"addresses": ["10.1.2.3", "127.0.0.0/8"]}})
    with running.associated() as peer:
        assert peer.echo() == 0


def test_one_association_too_many_is_rejected_2_3_2_until_another_ends(start_scp, eventually):
    running = start_scp(max_associations=2)
    first, second = running.associated(), running.associated()
    with running.peer() as third:
        assert third.rejection() == (2, 3, 2)
    first.release()
    with running.associated() as fourth:
        assert fourth.echo() == 0
    second.socket.close()
    eventually(lambda: running.scp.open_associations == 0)


def test_when_shutting_down_new_associations_are_rejected_2_3_1_and_open_ones_may_finish(
    start_scp, make_ct, eventually
):
    running = start_scp()
    peer = running.associated()
    stopping = threading.Thread(target=running.scp.stop, args=(5.0,))
    stopping.start()
    with running.peer() as late:
        eventually(lambda: running.scp._refusing)
        assert late.rejection() == (2, 3, 1)
    assert peer.store(make_ct()) == 0x0000
    peer.release()
    stopping.join(5)
    assert not stopping.is_alive()
    assert running.heard.ends == [(1, True)]


def test_an_association_that_outlasts_the_grace_is_aborted(start_scp):
    running = start_scp()
    peer = running.associated()
    running.scp.stop(0.05)
    assert peer.ending() == "abort"
    assert running.heard.ends == [(1, False)]


# what it survives


def test_an_abort_in_the_middle_of_an_instance_leaves_nothing(start_scp, make_ct, eventually):
    running = start_scp()
    for how in ("abort", "close"):
        peer = running.associated()
        peer.begin_store(make_ct(PixelData=bytes(100_000)), 0.5)
        peer.abort() if how == "abort" else peer.socket.close()
    eventually(lambda: len(running.heard.ends) == 2)
    assert {released for _, released in running.heard.ends} == {False}
    assert not files(running)
    assert not leftovers(running)
    with running.associated() as peer:
        assert peer.echo() == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x09\0\0\0\0\4abcd",
        bytes.fromhex("16030100c8010000c4") + bytes(190),
        bytes(range(1, 256)) * 4000,
        struct.pack(">BBL", 1, 0, 100) + bytes(100),
        struct.pack(">BBL", 4, 0, 6) + struct.pack(">LBB", 2, 1, 3),
    ],
    ids=["HTTP", "unknown PDU", "TLS", "noise", "empty request", "data before a request"],
)
def test_what_is_no_dicom_is_cut_off_at_once_and_others_are_served(start_scp, data):
    running = start_scp()
    with running.peer() as stranger:
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            stranger.send(data)
        assert stranger.ending() in ("abort", "closed")
        assert time.monotonic() - begun < 15
        with running.associated() as peer:
            assert peer.echo() == 0


def test_a_tls_client_is_turned_away(start_scp):
    running = start_scp()
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", running.port), 5) as connection,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        context.wrap_socket(connection, server_hostname="localhost")


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("associated", [False, True], ids=["A-ASSOCIATE-RQ", "P-DATA-TF"])
def test_a_pdu_that_claims_two_gigabytes_is_not_buffered(start_scp, associated):
    running = start_scp()
    peer = running.associated() if associated else running.peer()
    before = resident_bytes()
    with peer:
        peer.send(struct.pack(">BBL", 4 if associated else 1, 0, 0x7FFFFFF0))
        swallowed = 0
        try:
            for _ in range(100):
                peer.socket.sendall(bytes(1 << 20))
                swallowed += 1
        except OSError:
            pass
    assert swallowed < 20
    assert resident_bytes() - before < 30e6


@pytest.mark.parametrize("where", ["before a request", "in a request", "between PDUs", "in a PDU"])
def test_a_peer_that_stalls_is_let_go_within_the_deadline(start_scp, make_ct, where):
    running = start_scp(network_timeout_seconds=2)
    peer = running.peer()
    if where == "in a request":
        peer.send(b"\1\0\0\0\1\0abc")
    elif where != "before a request":
        peer.associate()
        peer.begin_store(make_ct(), 0.3)
        if where == "in a PDU":
            peer.send(b"\4\0\0\0\x20\0abc")
    begun = time.monotonic()
    with running.peer() as other:  # nobody else waits meanwhile
        other.associate()
        assert other.echo() == 0
        other.release()
    ending = peer.ending()
    assert ending == ("closed" if "request" in where else "abort")
    assert 1.0 < time.monotonic() - begun < 20


def test_within_an_instance_a_peer_may_think_for_a_shorter_time(start_scp, make_ct, monkeypatch):
    monkeypatch.setattr("service.arrival.pdu_stream.PDU_SECONDS", 0.5)
    running = start_scp(network_timeout_seconds=60)
    thinking, stalling = running.associated(), running.associated()
    stalling.begin_store(make_ct(), 0.5)
    assert stalling.ending() == "abort"
    assert thinking.echo() == 0


def test_a_peer_that_drips_bytes_is_let_go_within_the_deadline_too(start_scp, monkeypatch):
    monkeypatch.setattr("service.arrival.association.LINGER_SECONDS", 0.3)
    running = start_scp(network_timeout_seconds=0.5)
    peer = running.associated()
    peer.send(b"\4\0\0\0\x20\0")
    begun = time.monotonic()
    with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or broken pipe, at some byte
        while time.monotonic() - begun < 30:
            peer.send(b"x")
            time.sleep(0.02)
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "fault",
    ["data without a command", "an unknown context", "a value longer than its PDU", "a command without end"],
)
def test_a_breach_of_the_protocol_is_answered_with_an_abort(start_scp, fault):
    running = start_scp()
    peer = running.associated()
    if fault == "data without a command":
        peer.send(peer.p_data(1, 2, b"data"))
    elif fault == "an unknown context":
        peer.send(peer.p_data(99, 3, b"data"))
    elif fault == "a value longer than its PDU":
        peer.send(struct.pack(">BBLLBB", 4, 0, 6, 1000, 1, 3))
    else:
        for _ in range(20):
            try:
                peer.send(peer.p_data(1, 1, bytes(8000)))
            except ConnectionError:
                break
    assert peer.ending() in ("abort", "closed")
    with running.associated() as other:
        assert other.echo() == 0


def test_an_operation_that_is_not_ours_is_answered_and_not_obeyed(start_scp):
    with start_scp().associated() as peer:
        c_find = b"\x20\x00"
        fields = struct.pack("<HHL2s", 0, 0x100, 2, c_find), struct.pack("<HHLH", 0, 0x110, 2, 9)
        peer.send(peer.command(1, *fields, struct.pack("<HHLH", 0, 0x800, 2, 0x0101)))
        answer = peer.response()
        assert (answer[0x0100], answer[0x0120], answer[0x0900]) == (0x8020, 9, 0x0211)
        assert peer.echo() == 0


@pytest.mark.parametrize("count", [100, 200])
def test_many_associations_at_once_are_negotiated_quickly(start_scp, make_ct, count, eventually):
    running = start_scp(max_associations=200)
    peers = [running.peer() for _ in range(count)]
    begun = time.monotonic()
    for peer in peers:
        peer.request()
    assert {peer.pdu()[0] for peer in peers} == {2}
    assert time.monotonic() - begun < 5
    for number, peer in enumerate(peers[:20]):
        assert peer.store(make_ct(number)) == 0
    for peer in peers:
        peer.socket.close()
    eventually(lambda: running.scp.open_associations == 0)


def test_connections_without_end_do_not_become_threads_without_end(start_scp):
    running = start_scp(max_associations=1)
    peers = [running.peer() for _ in range(80)]
    time.sleep(0.1)
    alive = sum(thread.name == "association" for thread in threading.enumerate())
    assert alive <= 65
    for peer in peers:
        peer.socket.close()


def test_a_taken_port_is_named_with_what_to_do(start_scp):
    running = start_scp()
    with pytest.raises(Exception, match=r"Cannot listen on 127\.0\.0\.1:\d+ .*node\.port"):
        start_scp(port=running.port)


def test_logs_name_no_patient_and_no_uid(start_scp, make_ct, caplog):
    caplog.set_level("DEBUG")
    running = start_scp(accept_and_discard=["RT Plan Storage"])
    with running.associated() as peer:
        peer.store(make_ct())
        peer.store(make_ct(Modality="MR"))
        peer.store(make_ct(1, RescaleIntercept=0))
        peer.store(make_ct(), syntax=IMPLICIT)
        peer.begin_store(make_ct(), 0.5)
        peer.abort()
    ours = [str(vars(r)) for r in caplog.records]
    assert ours
    for text in ours:
        assert "Canary" not in text
        assert "2.25.20" not in text


def test_a_second_request_on_the_same_connection_is_answered_with_an_abort(start_scp):
    peer = start_scp().associated()
    peer.request()
    assert peer.ending() == "abort"


def test_an_abort_before_any_request_and_a_release_before_any_request_end_the_connection(start_scp):
    running = start_scp()
    for kind in (7, 5):
        peer = running.peer()
        peer.send(struct.pack(">BBLL", kind, 0, 4, 0))
        assert peer.ending() in ("abort", "closed")
    with running.associated() as other:
        assert other.echo() == 0


def test_another_protocol_version_is_rejected_1_2_2(start_scp):
    peer = start_scp().peer()
    body = struct.pack(">HH", 2, 0) + b"DELINEATE".ljust(16) + b"ECLIPSE".ljust(16) + bytes(32)
    peer.send(struct.pack(">BBL", 1, 0, len(body)) + body)
    kind, answer = peer.pdu()
    assert (kind, *answer[1:4]) == (3, 1, 2, 2)


def test_a_sender_that_vanishes_without_release_has_broken_off(start_scp, make_ct, eventually):
    running = start_scp()
    with running.associated() as peer:
        peer.store(make_ct())
    eventually(lambda: running.heard.ends == [(1, False)])
