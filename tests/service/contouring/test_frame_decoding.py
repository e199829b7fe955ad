"""Frames are decoded by processes that may end: what was sent is decoded, or refused, in time."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pydicom.uid import RLELossless

from service.contouring.ct_series import CtSeries
from service.contouring.frame_decoding import FrameDecoders, FrameUndecodable
from service.dicom.ct_writer import write_ct
from service.dicom.patient_grids import patient_grid

GRID = patient_grid(shape_zyx=(5, 32, 32))
HU = np.random.default_rng(0).integers(-1000, 2000, GRID.shape_zyx).astype(np.int16)


@pytest.fixture
def request_of(tmp_path):
    """What is asked for slice ``k`` of a CT in RLE."""
    files = write_ct(tmp_path, HU, GRID, transfer_syntax=RLELossless)
    places = [header.place for header in CtSeries.read(files)._slices]

    def made(k: int) -> dict:
        image = {
            "rows": 32, "columns": 32, "number_of_frames": 1, "samples_per_pixel": 1,
            "photometric_interpretation": "MONOCHROME2", "pixel_keyword": "PixelData",
            "pixel_representation": 1, "bits_allocated": 16, "bits_stored": 16,
        }  # fmt: skip
        place = places[k]
        return {
            "file": str(place.file), "offset": place.offset, "frame": 0, "image": image,
            "transfer_syntax_uid": place.transfer_syntax_uid,
        }  # fmt: skip

    return made


@pytest.fixture
def decoders():
    made = FrameDecoders(frame_seconds=2)
    yield made
    made.close()


def stored(decoders: FrameDecoders, request: dict) -> np.ndarray:
    out = np.zeros((32, 32), np.int16)
    decoders.decode(request, out.data.cast("B"))
    return out


def test_several_threads_are_answered_each_with_its_own_frame(decoders, request_of):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: stored(decoders, request_of(k % 5)), range(20)))
    for k, frame in enumerate(found):
        assert (frame.astype(int) - 1024 == HU[k % 5]).all()


def test_a_process_that_somebody_kills_is_no_reason_to_refuse(decoders, request_of):
    stored(decoders, request_of(0))
    os.kill(decoders._idle[0]._child.pid, signal.SIGKILL)
    assert (stored(decoders, request_of(1)).astype(int) - 1024 == HU[1]).all()


def test_a_process_that_does_not_answer_is_ended_in_time(decoders, request_of):
    stored(decoders, request_of(0))
    process = decoders._idle[0]._child
    os.kill(process.pid, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(FrameUndecodable):
        stored(decoders, request_of(1))
    assert time.monotonic() - begun < 20
    assert process.poll() is not None
