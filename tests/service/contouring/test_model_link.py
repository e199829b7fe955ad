"""Messages and shared memory between parent and model process."""

from __future__ import annotations

import os
import socket
import threading

import numpy as np
import pytest

from models.stages import Peak
from models.volume import Finding, Grid, Provenance, Segmentation, Severity, StructureField
from service.contouring.model_link import (
    LinkClosed,
    array_in,
    grid_as_json,
    grid_of_json,
    mapped,
    new_memory,
    receive,
    segmentation_as_json,
    segmentation_of_json,
    send,
)


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_message_arrives_whole_with_its_descriptor(ends):
    ours, theirs = ends
    memory = new_memory("test", 8)
    array_in(mapped(memory, writable=True), (2,), np.dtype(np.float32))[:] = (1.5, -2.0)
    send(ours, {"do": "it", "name": "Ångström"}, [memory])
    os.close(memory)
    message, (found,) = receive(theirs)
    assert message == {"do": "it", "name": "Ångström"}
    assert array_in(mapped(found, writable=False), (2,), np.dtype(np.float32)).tolist() == [1.5, -2.0]
    assert not os.get_inheritable(found)
    os.close(found)


def test_a_message_larger_than_the_sockets_buffer_arrives(ends):
    ours, theirs = ends
    large = {"origins": [[i / 7, 0.1, 1e-17] for i in range(40_000)]}
    sender = threading.Thread(target=send, args=(ours, large))
    sender.start()
    assert receive(theirs) == (large, [])
    sender.join()


def test_messages_keep_their_order_and_their_own_descriptors(ends):
    ours, theirs = ends
    memory = new_memory("test", 1)
    send(ours, {"n": 1})
    send(ours, {"n": 2}, [memory])
    send(ours, {"n": 3})
    os.close(memory)
    found = [receive(theirs) for _ in range(3)]
    assert [message["n"] for message, _ in found] == [1, 2, 3]
    assert [len(descriptors) for _, descriptors in found] == [0, 1, 0]
    os.close(found[1][1][0])


def test_the_end_of_the_other_side_is_told(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(LinkClosed):
        receive(ours)
    with pytest.raises(LinkClosed):
        send(ours, {"n": 1})


def test_a_message_that_breaks_off_is_the_end_too(ends):
    ours, theirs = ends
    ours.sendall(b"\x00\x00\x00\x09{}")
    ours.close()
    with pytest.raises(LinkClosed):
        receive(theirs)


def test_silence_is_a_timeout(ends):
    ours, _ = ends
    ours.settimeout(0.01)
    with pytest.raises(TimeoutError):
        receive(ours)


def test_a_grid_survives_to_the_last_bit():
    rng = np.random.default_rng(0)
    grid = Grid(rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=3), 7, 9)
    found = grid_of_json(grid_as_json(grid))
    for name in ("slice_origins_lps_mm", "column_step_lps_mm", "row_step_lps_mm"):
        assert np.array_equal(getattr(found, name), getattr(grid, name))
    assert found.shape_zyx == (5, 7, 9)


def a_segmentation() -> Segmentation:
    rng = np.random.default_rng(0)
    turned = rng.normal(size=(3, 4, 2)).astype(np.float32).transpose(2, 1, 0)
    return Segmentation(
        {"Bladder": StructureField(turned, (1, 0, 2)), "Rectum": StructureField(-turned, (0, 0, 0), True)},
        Provenance("m", "1.0", "ab", False, "cuda:0", "bfloat16", ("single-tiles", "half")),
        (Finding("a.b", "A sentence.", "Bladder"), Finding("c.d", "Another.", None, Severity.NOTE)),
        {"network": 1.25},
        {"network": Peak(2**30, 5)},
    )


def packed(segmentation: Segmentation):
    message, arrays = segmentation_as_json(segmentation)
    descriptor = new_memory("test", message["bytes"])
    memory = mapped(descriptor, writable=True)
    os.close(descriptor)
    for one, values in zip(message["fields"], arrays, strict=True):
        array_in(memory, values.shape, values.dtype, one["offset"])[:] = values
    return message, memory


def test_a_segmentation_survives():
    given = a_segmentation()
    message, memory = packed(given)
    found = segmentation_of_json(message, memory, (4, 5, 6))
    assert (found.provenance, found.findings, found.seconds, found.peaks) == (
        given.provenance,
        given.findings,
        given.seconds,
        given.peaks,
    )
    for name, field in given.structures.items():
        assert np.array_equal(found.structures[name].field, field.field)
        assert found.structures[name].corner_zyx == field.corner_zyx
        assert found.structures[name].from_mask == field.from_mask


def test_a_field_that_leaves_the_ct_is_refused():
    message, memory = packed(a_segmentation())
    with pytest.raises(ValueError, match="within the CT"):
        segmentation_of_json(message, memory, (4, 5, 4))


def test_a_field_that_leaves_the_memory_is_refused():
    message, memory = packed(a_segmentation())
    message["fields"][1]["offset"] += 8
    with pytest.raises(ValueError, match="buffer"):
        segmentation_of_json(message, memory, (4, 5, 6))
