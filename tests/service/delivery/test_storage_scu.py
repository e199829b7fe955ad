"""One C-STORE to peers that behave, and to those that do not."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom import evt
from pynetdicom.events import Event

from service.delivery.outcome import Kind, Outcome
from service.delivery.storage_scu import Peer, echo, send, send_all

Start = Callable[..., Peer]

LATE_SECONDS = 20.0  # after which nothing was done at once, or in time, on a machine with much else to do


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def timed(file: Path, peer: Peer) -> tuple[Outcome, float]:
    began = time.monotonic()
    return send(file, peer), time.monotonic() - began


def test_the_encoded_dataset_arrives_byte_for_byte(scp: Start, structure_set: Path) -> None:
    received: list[bytes] = []

    def keep(event: Event) -> int:
        received.append(event.request.DataSet.getvalue())
        return 0x0000

    found = send(structure_set, scp(keep))
    assert (found.kind, found.code, found.status) == (Kind.DONE, "delivery.stored", 0)
    assert len(received) == 1
    assert structure_set.read_bytes().endswith(received[0])


def test_it_calls_with_its_title_and_proposes_both_native_encodings(scp: Start, structure_set: Path) -> None:
    seen: list[object] = []

    def look(event: Event) -> int:
        requestor = event.assoc.requestor
        seen.append((requestor.ae_title, requestor.primitive.called_ae_title))
        seen.append([cx.transfer_syntax for cx in requestor.requested_contexts])
        return 0x0000

    send(structure_set, scp(look))
    assert seen == [("DELINEATE", "TPS"), [[ImplicitVRLittleEndian], [ExplicitVRLittleEndian]]]


@pytest.mark.parametrize(
    ("own", "other"),
    [(ImplicitVRLittleEndian, ExplicitVRLittleEndian), (ExplicitVRLittleEndian, ImplicitVRLittleEndian)],
)
def test_a_peer_that_takes_only_the_other_encoding_gets_that_one(
    own: str, other: str, scp: Start, make_structure_set: Callable[..., Path]
) -> None:
    file = make_structure_set(syntax=own)
    received: list[Dataset] = []

    def keep(event: Event) -> int:
        assert event.context.transfer_syntax == other
        received.append(event.dataset)
        return 0x0000

    assert send(file, scp(keep, syntaxes=[other])).kind is Kind.DONE
    sent, got = dcmread(file), received[0]
    assert got.PatientName.original_string == sent.PatientName.original_string
    contours = [ds.ROIContourSequence[0].ContourSequence[0].ContourData for ds in (sent, got)]
    assert [str(value) for value in contours[0]] == [str(value) for value in contours[1]]


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (0xB000, Kind.DONE_WITH_WARNING, "delivery.coerced"),
        (0xB006, Kind.DONE_WITH_WARNING, "delivery.elements-discarded"),
        (0xB007, Kind.DONE_WITH_WARNING, "delivery.stored-although-unlike-class"),
        (0x0111, Kind.DONE, "delivery.already-there"),
        (0xA700, Kind.RETRY, "delivery.out-of-resources"),
        (0xA900, Kind.DEAD, "delivery.unlike-class"),
        (0xC000, Kind.DEAD, "delivery.not-understood"),
        (0x0122, Kind.DEAD, "delivery.class-not-supported"),
        (0x0124, Kind.DEAD, "delivery.not-authorized"),
    ],
)
def test_the_peer_s_status_comes_back(
    status: int, kind: Kind, code: str, scp: Start, structure_set: Path
) -> None:
    found = send(structure_set, scp(lambda _event: status))
    assert (found.kind, found.code, found.status) == (kind, code, status)


def test_the_data_elements_a_peer_complains_of_are_named(scp: Start, structure_set: Path) -> None:
    answer = Dataset()
    answer.Status = 0xC000
    answer.OffendingElement = [0x30060022, 0x00100020]
    answer.ErrorComment = "patient TEST-1 unknown"
    found = send(structure_set, scp(lambda _event: answer))
    assert "ROINumber, PatientID" in found.sentence
    assert "TEST-1" not in repr(found)


def test_a_rejected_association_is_tried_again_slowly(scp: Start, structure_set: Path) -> None:
    peer = scp(require_called_aet=True, title="OTHER")
    found = send(structure_set, Peer("TPS", peer.host, peer.port, "DELINEATE", 5))
    assert (found.kind, found.code, found.alarm) == (Kind.SLOW_RETRY, "delivery.association-rejected", True)
    assert "(1/1/7)" in found.sentence


def test_a_peer_that_does_not_know_us_is_told_apart(scp: Start, structure_set: Path) -> None:
    found = send(structure_set, scp(require_calling_aet=["SOMEONE"]))
    assert found.kind is Kind.SLOW_RETRY
    assert "(1/1/3)" in found.sentence


def test_a_peer_without_the_sop_class_is_a_dead_letter(scp: Start, structure_set: Path) -> None:
    found = send(structure_set, scp(syntaxes=[]))
    assert (found.kind, found.code) == (Kind.DEAD, "delivery.no-presentation-context")


def test_a_compressed_file_is_offered_as_it_is_only(
    scp: Start, make_structure_set: Callable[..., Path]
) -> None:
    file = make_structure_set(declare=JPEG2000Lossless)
    found = send(file, scp(syntaxes=[ImplicitVRLittleEndian, ExplicitVRLittleEndian]))
    assert found.code == "delivery.no-presentation-context"
    assert send(file, scp(syntaxes=[JPEG2000Lossless])).kind is Kind.DONE


def test_a_refused_connection_is_tried_again(structure_set: Path) -> None:
    found, seconds = timed(structure_set, Peer("TPS", "127.0.0.1", closed_port(), "DELINEATE", 60))
    assert (found.kind, found.code) == (Kind.RETRY, "delivery.no-connection")
    assert seconds < LATE_SECONDS


def test_a_host_name_that_nobody_knows_is_tried_again(structure_set: Path) -> None:
    found = send(structure_set, Peer("TPS", "no-such-host.invalid", 104, "DELINEATE", 5))
    assert (found.kind, found.code) == (Kind.RETRY, "delivery.host-not-found")


def test_a_host_that_swallows_packets_is_given_up_in_time(structure_set: Path) -> None:
    with socket.socket() as full:  # a backlog of one that is taken already: further SYNs are dropped
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(full.getsockname())
        found, seconds = timed(
            structure_set, Peer("TPS", "127.0.0.1", full.getsockname()[1], "DELINEATE", 0.5)
        )
        for connection in waiting:
            connection.close()
    assert found.kind is Kind.RETRY
    assert seconds < LATE_SECONDS


def test_a_peer_that_never_answers_the_request_is_tried_again(bare_peer: Start, structure_set: Path) -> None:
    peer = bare_peer(lambda connection: connection.recv(1), answer=False)
    found, seconds = timed(structure_set, peer)
    assert (found.kind, found.code) == (Kind.RETRY, "delivery.no-association-answer")
    assert 1.9 < seconds < LATE_SECONDS


def test_a_peer_that_accepts_and_aborts_is_tried_again(bare_peer: Start, structure_set: Path) -> None:
    peer = bare_peer(lambda connection: connection.sendall(b"\x07\0\0\0\0\4\0\0\0\0"))
    found = send(structure_set, peer)
    assert (found.kind, found.code) == (Kind.RETRY, "delivery.aborted")


def test_a_peer_that_aborts_on_the_instance_is_tried_again(scp: Start, structure_set: Path) -> None:
    def abort(event: Event) -> int:
        event.assoc.abort()
        return 0x0000

    found = send(structure_set, scp(abort))
    assert (found.kind, found.code) == (Kind.RETRY, "delivery.aborted")


def test_a_connection_closed_after_the_last_byte_is_tried_again(
    bare_peer: Start, structure_set: Path, read_pdu: Callable[[socket.socket], bytes]
) -> None:
    def take_all_and_close(connection: socket.socket) -> None:
        while True:
            pdu = read_pdu(connection)
            if pdu[0] == 4 and pdu[11] == 2:  # last fragment of a data set, PS3.8 E.2
                return

    found, seconds = timed(structure_set, bare_peer(take_all_and_close, timeout=60))
    assert (found.kind, found.code, found.status) == (Kind.RETRY, "delivery.aborted", None)
    assert seconds < LATE_SECONDS


def test_a_peer_that_takes_all_and_says_nothing_is_tried_again(
    bare_peer: Start, structure_set: Path, read_pdu: Callable[[socket.socket], bytes]
) -> None:
    def listen_only(connection: socket.socket) -> None:
        while True:
            read_pdu(connection)

    found, seconds = timed(structure_set, bare_peer(listen_only))
    assert (found.kind, found.code) == (Kind.RETRY, "delivery.no-response")
    assert 1.9 < seconds < LATE_SECONDS


def test_a_peer_that_stops_reading_is_left_in_time(
    bare_peer: Start, make_structure_set: Callable[..., Path]
) -> None:
    file = make_structure_set(megabytes=20)  # more than the kernel's buffers hold
    left = threading.Event()
    found, seconds = timed(file, bare_peer(lambda _connection: left.wait(LATE_SECONDS)))
    left.set()
    assert (found.kind, found.code) == (Kind.RETRY, "delivery.no-response")
    assert seconds < LATE_SECONDS


def test_a_slow_line_is_not_a_missing_answer(
    bare_peer: Start,
    make_structure_set: Callable[..., Path],
    read_pdu: Callable[[socket.socket], bytes],
    success: bytes,
) -> None:
    def read_slowly(connection: socket.socket) -> None:
        began = time.monotonic()
        while True:
            pdu = read_pdu(connection)
            if time.monotonic() - began < 5.0:
                time.sleep(0.05)
            if pdu[0] == 4 and pdu[11] == 2:
                connection.sendall(success)
                read_pdu(connection)
                connection.sendall(b"\x06\0\0\0\0\4\0\0\0\0")
                return

    file = make_structure_set(megabytes=20)
    found, seconds = timed(file, bare_peer(read_slowly))
    assert found.kind is Kind.DONE
    assert seconds > 4.0  # twice the deadline of an answer


def test_an_answer_of_absurd_length_is_not_buffered(bare_peer: Start, structure_set: Path) -> None:
    def claim_two_gibibytes(connection: socket.socket) -> None:
        connection.sendall(b"\4\0\x7f\xff\xff\xff" + bytes(1 << 16))
        connection.recv(1 << 20)

    found, seconds = timed(structure_set, bare_peer(claim_two_gibibytes, timeout=60))
    assert found.kind is Kind.RETRY
    assert seconds < LATE_SECONDS


@pytest.mark.parametrize("then", [b"", b"\7\0\0\0\0\4\0\0\0\0"], ids=["says nothing more", "aborts"])
def test_success_counts_although_the_peer_does_not_release(
    then: bytes,
    bare_peer: Start,
    structure_set: Path,
    read_pdu: Callable[[socket.socket], bytes],
    success: bytes,
) -> None:
    def answer(connection: socket.socket) -> None:
        while True:
            pdu = read_pdu(connection)
            if pdu[0] == 4 and pdu[11] == 2:
                connection.sendall(success + then)

    found, seconds = timed(structure_set, bare_peer(answer))
    assert found.kind is Kind.DONE
    assert seconds < LATE_SECONDS


def test_a_file_that_is_gone_or_is_no_dicom_is_a_dead_letter(tmp_path: Path, scp: Start) -> None:
    peer = scp()
    assert send(tmp_path / "gone.dcm", peer).code == "delivery.file-missing"
    (tmp_path / "text.dcm").write_text("not DICOM")
    assert send(tmp_path / "text.dcm", peer).code == "delivery.not-dicom"


def test_many_files_go_over_one_association(scp: Start, make_structure_set: Callable[..., Path]) -> None:
    associations = []
    peer = scp(handlers=[(evt.EVT_ACCEPTED, associations.append)])
    files = [make_structure_set(f"{n}.dcm") for n in range(20)]
    found = list(send_all(files, peer))
    assert [file for file, _ in found] == files
    assert {one.kind for _, one in found} == {Kind.DONE}
    assert len(associations) == 1


def test_after_a_broken_association_the_next_file_gets_a_new_one(
    scp: Start, make_structure_set: Callable[..., Path]
) -> None:
    count = 0

    def abort_the_second(event: Event) -> int:
        nonlocal count
        count += 1
        if count == 2:
            event.assoc.abort()
        return 0x0000

    files = [make_structure_set(f"{n}.dcm") for n in range(4)]
    kinds = [one.kind for _, one in send_all(files, scp(abort_the_second))]
    assert kinds == [Kind.DONE, Kind.RETRY, Kind.DONE, Kind.DONE]


def test_echo_tells_whether_a_peer_is_there(scp: Start) -> None:
    peer = scp()
    assert echo(peer).kind is Kind.DONE
    assert echo(Peer("TPS", "127.0.0.1", closed_port(), "DELINEATE", 1)).code == "delivery.no-connection"


@pytest.mark.peer
def test_dcmtk_stores_it(tmp_path: Path, make_structure_set: Callable[..., Path]) -> None:
    if not shutil.which("storescp", path="/usr/bin"):
        pytest.skip("DCMTK is not installed")
    file = make_structure_set(megabytes=2)
    port, inbox = closed_port(), tmp_path / "inbox"
    inbox.mkdir()
    with subprocess.Popen(
        ["/usr/bin/storescp", "-od", str(inbox), "+B", "-aet", "TPS", str(port)],
        env={"TCP_NODELAY": "1"},
        stdin=subprocess.DEVNULL,
    ) as peer:
        to = Peer("TPS", "127.0.0.1", port, "DELINEATE", 10)
        deadline = time.monotonic() + 60
        while not echo(to).stored and time.monotonic() < deadline:
            time.sleep(0.05)
        found, seconds = timed(file, to)
        peer.terminate()
    assert found.kind is Kind.DONE
    (stored,) = inbox.iterdir()
    assert dcmread(BytesIO(stored.read_bytes())) == dcmread(file)
    assert seconds < LATE_SECONDS


@pytest.mark.peer
@pytest.mark.slow
def test_orthanc_stores_it(tmp_path: Path, make_structure_set: Callable[..., Path]) -> None:
    orthanc = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    if orthanc is None:
        pytest.skip("Orthanc is not installed")
    dicom, http = closed_port(), closed_port()
    settings = {
        "Name": "TPS",
        "DicomAet": "TPS",
        "DicomPort": dicom,
        "HttpPort": http,
        "StorageDirectory": str(tmp_path / "store"),
        "IndexDirectory": str(tmp_path / "store"),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": True,
        "Plugins": [],
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    file = make_structure_set(megabytes=2)
    with subprocess.Popen(
        [orthanc, str(tmp_path / "orthanc.json")],
        env={"TCP_NODELAY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as peer:
        try:
            to = Peer("TPS", "127.0.0.1", dicom, "DELINEATE", 10)
            deadline = time.monotonic() + 30
            while not echo(to).stored and time.monotonic() < deadline:
                time.sleep(0.2)
            assert send(file, to).kind is Kind.DONE
            assert send(file, to).stored  # the same instance again does no harm
            with urllib.request.urlopen(f"http://127.0.0.1:{http}/instances", timeout=10) as answer:
                assert len(json.load(answer)) == 1
        finally:
            peer.terminate()
