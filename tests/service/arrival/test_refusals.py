"""What the Storage SCP turns away and refuses is counted by reason; only senders of the configuration are named."""

from __future__ import annotations

import contextlib

from service.backlog.refusals import Kind


def test_peers_that_are_turned_away_are_counted_by_reason(start_scp, eventually):
    running = start_scp(senders={"ECLIPSE": None, "CT1": {"addresses": ["192.0.2.1"]}}, max_associations=1)
    for request in ({"calling": "NOBODY"}, {"calling": "SOMEBODY"}, {"called": "OTHER"}, {"calling": "CT1"}):
        with running.peer() as peer:
            peer.rejection(**request)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(100)):
        with running.peer() as peer, contextlib.suppress(OSError):
            peer.send(data)
            peer.ending()
    running.associated()
    with running.peer() as peer:
        peer.rejection()
    expected = {
        ("calling-ae-title-unknown", ""): 2,
        ("called-ae-title-unknown", "ECLIPSE"): 1,
        ("address-not-allowed", "CT1"): 1,
        ("not-dicom", ""): 2,
        ("limit-reached", "ECLIPSE"): 1,
    }
    wanted = {Kind("association", f"association.{why}", who): n for (why, who), n in expected.items()}
    eventually(lambda: running.refusals.so_far() == wanted)


def test_instances_that_are_refused_are_counted_by_reason(start_scp, make_ct):
    running = start_scp()
    with running.associated() as peer:
        assert peer.store(make_ct(1)) == 0
        assert peer.store(make_ct(1, RescaleIntercept=0)) == 0x0111
        assert peer.store(make_ct(2, Modality="MR")) == 0xA900
        assert peer.store(make_ct(2, Modality="MR")) == 0xA900
        assert peer.store(make_ct(3), sop_class="1.2.840.10008.5.1.4.1.1.4") == 0x0122
    with running.associated(calling="DELINEATE") as peer:
        assert peer.store(make_ct(4)) == 0x0124
    expected = {
        ("conflict", "ECLIPSE"): 1,
        ("modality-differs", "ECLIPSE"): 2,
        ("sop-class-differs", "ECLIPSE"): 1,
    }
    expected["not-authorised", ""] = 1
    assert running.refusals.so_far() == {
        Kind("instance", f"instance.{why}", who): count for (why, who), count in expected.items()
    }
