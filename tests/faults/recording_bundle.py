"""A model that keeps a record of each run, independent of the node, and notices when a CT runs twice at once.

Every CT has a number of its own in each of its voxels. While the model works on it it holds a lock of that
number; the kernel gives the lock back when the process dies, however it dies. A run that finds the lock taken
is a second one of the same CT at the same time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from analytic_bundle import CENTRE, MODEL, write_bundle

from service.dicom.ct_writer import uid_of, write_ct
from service.dicom.patient_grids import patient_grid

_RECORDING = """
    import fcntl, os, time

    FOLDER = {folder!r}
    answer_of = segment

    def fault_of(number):
        pass

    def note(word, number):
        line = os.open(FOLDER + "/runs", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(line, f"{{word}} {{number}} {{os.getpid()}}\\n".encode())
        os.close(line)

    def segment(volume):
        number = int(volume.hu.flat[0])
        lock = os.open(f"{{FOLDER}}/{{number}}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("overlap", number)
        note("start", number)
        fault_of(number)
        time.sleep(0.05 + number % 5 * 0.05)
        out = answer_of(volume)
        note("end", number)
        os.close(lock)
        return out
"""


def write_recording_bundle(bundles: Path, records: Path, more: str = "") -> None:
    """The bundle ``recording@1.0``, which writes into the folder ``records``; its program ends with ``more``.

    That may define ``fault_of(number)``, which is called in each run, or ``answer_of(volume)``.
    """
    records.mkdir(parents=True, exist_ok=True)
    write_bundle(bundles / "recording", MODEL + _RECORDING.format(folder=str(records)) + more)


def records_of(records: Path, word: str) -> list[int]:
    """Numbers of the CTs that a record says ``start``, ``end`` or ``overlap`` of, in order."""
    file = records / "runs"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [int(line[1]) for line in lines if line[0] == word]


def numbered_ct(folder: Path, number: int, slices: int | None = None) -> list[Path]:
    """The CT of that number, of one of many sizes."""
    count = slices_of(number) if slices is None else slices
    across = 48 + 8 * (number % 3)
    grid = patient_grid(
        "HFS", shape_zyx=(count, across, across), spacing_zyx_mm=(4.0, 5.0, 5.0), center_lps_mm=CENTRE
    )
    return write_ct(folder, np.full(grid.shape_zyx, number, np.int16), grid, seed=number)


def slices_of(number: int) -> int:
    """How many images a CT has: 6 to 22."""
    return 6 + number * 7 % 17


def series_uid_of(number: int) -> str:
    """SeriesInstanceUID of the CT of that number."""
    return uid_of(number, 2, "series")
