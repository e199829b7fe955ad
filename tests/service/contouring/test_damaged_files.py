"""Whatever bytes a file holds: it is read, or refused with a code; nothing else ever comes out."""

from __future__ import annotations

import io
import resource
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from service.contouring.codestream import is_plausible
from service.contouring.ct_series import CtSeries, Limits
from service.dicom.ct_writer import write_ct
from service.dicom.enhanced_ct_writer import write_enhanced_ct
from service.dicom.patient_grids import patient_grid
from service.errors import SeriesRefused

GRID = patient_grid(shape_zyx=(5, 64, 64))
HU = np.random.default_rng(0).integers(-1000, 2000, GRID.shape_zyx).astype(np.int16)
COMPRESSED = (RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1)
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
TAKEN = Limits(enhanced_ct=True)


def refusal(files: list[Path]) -> str:
    with pytest.raises(SeriesRefused) as caught:
        CtSeries.read(files).volume()
    return caught.value.code


def damaged(original: bytes, rng: np.random.Generator, reach: int) -> bytes:
    """Bytes changed, cut off, taken out or overwritten, most of it where the header is."""
    data = bytearray(original)
    at, length = int(rng.integers(128, min(reach, len(data)))), int(rng.integers(1, 40))
    match rng.integers(4):
        case 0:
            for place in rng.integers(128, min(reach, len(data)), 4):
                data[place] = rng.integers(256)
        case 1:
            del data[int(rng.integers(len(data))) :]
        case 2:
            del data[at : at + length]
        case _:
            data[at : at + length] = rng.bytes(length)
    return bytes(data)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED, "enhanced"])
def test_a_damaged_file_is_read_or_refused_and_never_fails_otherwise(tmp_path, syntax):
    if syntax == "enhanced":
        files, reach = [write_enhanced_ct(tmp_path / "e.dcm", HU, GRID)], 6000
    else:
        files, reach = write_ct(tmp_path, HU, GRID, transfer_syntax=syntax), 2500
    original = files[-1].read_bytes()
    outcomes = set()
    for seed in range(40):
        files[-1].write_bytes(damaged(original, np.random.default_rng(seed), reach))
        try:
            CtSeries.read(files, limits=TAKEN).volume()
            outcomes.add("read")
        except SeriesRefused as refused:
            outcomes.add(refused.code)
    assert len(outcomes) > 2


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_compressed_file_cut_short_is_refused(tmp_path, syntax, part):
    files = write_ct(tmp_path, HU, GRID, transfer_syntax=syntax)
    data = files[2].read_bytes()
    start = data.index(b"\xe0\x7f\x10\x00") + 28
    files[2].write_bytes(data[: start + int((len(data) - start - 8) * part)])
    assert refusal(files) == "series.pixels-undecodable"


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.9])
@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_codestream_cut_short_is_refused_though_the_file_is_whole(tmp_path, syntax, part, filled):
    files = write_ct(tmp_path, HU, GRID, transfer_syntax=syntax)
    ds = pydicom.dcmread(io.BytesIO(files[2].read_bytes()))
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    kept = frame[: int(len(frame) * part)]
    ds.PixelData = encapsulate([kept + bytes(len(frame) - len(kept)) if filled else kept])
    ds["PixelData"].is_undefined_length = True
    ds.save_as(files[2])
    assert refusal(files) == "series.pixels-undecodable"


def rewritten(file: Path, change) -> None:
    """Change the compressed frame of a file; its length stays."""
    data = bytearray(file.read_bytes())
    start = data.index(b"\xe0\x7f\x10\x00") + 28
    change(data, start)
    file.write_bytes(data)


def test_a_frame_that_ends_the_process_that_decodes_it_is_refused_and_nobody_else_ends(tmp_path):
    """One byte of a marker: gdcm throws what nobody can catch."""
    files = write_ct(tmp_path, HU, GRID, transfer_syntax=JPEGLosslessSV1)

    def break_marker(data: bytearray, start: int) -> None:
        at = data.index(b"\xff\xc4", start)
        data[at] = 0x80

    rewritten(files[2], break_marker)
    assert refusal(files) == "series.pixels-undecodable"
    whole = write_ct(tmp_path / "whole", HU, GRID, transfer_syntax=JPEGLosslessSV1)
    assert (CtSeries.read(whole).volume().hu == HU).all()


def replaced_frame(file: Path, frame: bytes) -> None:
    """Other bytes in place of the compressed frame."""
    ds = pydicom.dcmread(io.BytesIO(file.read_bytes()))
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].is_undefined_length = True
    ds.save_as(file)


def bombs() -> dict[str, tuple[str, bytes]]:
    """By name: transfer syntax and a frame that unpacks to gigabytes."""
    runs = b"\x81\0" * (24 << 20)  # each of these two bytes is 128 of the segment
    segments = struct.pack("<16L", 2, 64, 64 + len(runs), *[0] * 13)
    rows, columns = GRID.shape_zyx[1:]
    size = struct.pack(">HLLLLLLLLH", 0, columns, rows, 0, 0, columns, rows, 0, 0, 16384)
    components = struct.pack(">HH", 0xFF51, 38 + 3 * 16384) + size + b"\x0f\1\1" * 16384
    coding = bytes.fromhex(
        "ff52000c00000001000504040001 ff5c0013 40 40484850 48485048 48504848 50484850".replace(" ", "")
    )
    tile = bytes.fromhex("ff90000a0000 00000000 0001 ff93".replace(" ", ""))
    huge = struct.pack(">HLLLLLLLLH", 0, 60000, 60000, 0, 0, 60000, 60000, 0, 0, 1) + b"\x0f\1\1"
    stream = b"\xff\x4f" + struct.pack(">HH", 0xFF51, 41) + huge + coding + tile + b"\xff\xd9"
    box = struct.pack(">L4sL", 12, b"jP  ", 0x0D0A870A) + struct.pack(
        ">L4s4sL4s", 20, b"ftyp", b"jp2 ", 0, b"jp2 "
    )
    head = struct.pack(">L4sLLHBBBB", 22, b"ihdr", 60000, 60000, 1, 15, 7, 0, 0) + struct.pack(
        ">L4sBBBL", 15, b"colr", 1, 0, 0, 17
    )
    boxed = (
        box + struct.pack(">L4s", 8 + len(head), b"jp2h") + head + struct.pack(">L4s", 0, b"jp2c") + stream
    )
    return {
        "RLE": (RLELossless, segments + 2 * runs),
        "components": (JPEG2000Lossless, b"\xff\x4f" + components + coding + tile + b"\xff\xd9"),
        "a file in the frame": (JPEG2000Lossless, boxed),
    }


@pytest.mark.parametrize("name", ["RLE", "components", "a file in the frame"])
def test_a_frame_that_unpacks_to_gigabytes_is_refused_and_takes_no_memory_of_ours(tmp_path, name):
    syntax, frame = bombs()[name]
    files = write_ct(tmp_path, HU, GRID, transfer_syntax=syntax)
    replaced_frame(files[2], frame)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(files) == "series.pixels-undecodable"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_sequences_nested_without_end_are_refused(tmp_path):
    files = write_ct(tmp_path, HU, GRID)
    data = files[2].read_bytes()
    (meta,) = struct.unpack_from("<L", data, 140)
    sequence = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    files[2].write_bytes(data[: 144 + meta] + (sequence + item) * 5000 + data[144 + meta :])
    assert refusal(files) == "series.not-dicom"


@pytest.mark.parametrize(
    ("frame", "plausible"),
    [
        (b"\xff\xd8\xff\xc3\x00\x0b\x10\x00\x30\x00\x40" + bytes(9) + b"\xff\xd9", True),
        (b"\xff\xd8\xff\xc3\x00\x0b\x10\x00\x30\x00\x40" + bytes(9) + b"\xff\xd9\x00", True),
        (b"\xff\xd8\xff\xc3\x00\x0b\x10\x00\x30\x00\x40" + bytes(9), False),
        (b"\xff\xd8\xff\xc3\x00\x0b\x10\x00\x30\x00\x41" + bytes(9) + b"\xff\xd9", False),
        (b"\xff\xd8\xff\xd9", False),
        (b"\x02\x00\x00\x00run lengths", True),
        (b"\x02\x00\x00\x00" + bytes(4 * 48 * 64 + 65532), True),
        (b"\x02\x00\x00\x00" + bytes(4 * 48 * 64 + 65533), False),
    ],
)
def test_a_frame_says_its_size_and_has_its_end(frame, plausible):
    assert is_plausible(frame, 48, 64) is plausible
