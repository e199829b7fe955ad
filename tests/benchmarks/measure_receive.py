"""600 CT images over one association, each acknowledged when it is on the disk; and 100 associations at once.

Ours and Orthanc flush every file before they answer. pynetdicom's application and DCMTK's do not.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.machine import debian_version, versions
from benchmarks.processes import cpu_seconds, family
from benchmarks.receivers import CALLER, NAMES, TITLE, receiver
from benchmarks.rounds import Figures, interleaved
from benchmarks.scoreboard import Bar, Scoreboard, absolute, compared
from benchmarks.sending import Image, associate_at_once, images_of, send
from benchmarks.settings import Settings

from service.dicom.ct_writer import write_ct
from service.dicom.patient_grids import patient_grid

_IMAGES, _PIXELS, _ASSOCIATIONS, _ROUNDS = 600, 512, 100, 7


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    count = 40 if settings.small else _IMAGES
    work = settings.work("receive")
    images = images_of(series_of_noise(work / "ct", count))
    turns = {name: partial(_turn, name, work / "receiver", images) for name in NAMES}
    samples = interleaved(turns, settings.rounds(_ROUNDS))
    seconds, cpu, answered = (samples.of(each) for each in ("seconds", "cpu_ms", "answered_seconds"))
    board = Scoreboard("receive", versions={"ours": versions()})
    board.versions["debian"] = debian_version("orthanc") | debian_version("dcmtk")
    what = f"{count} CT of 0.5 MB over one association"
    for name, bar in (
        ("Orthanc", Bar(">=", 1.0)),
        ("pynetdicom's storescp", Bar(">=", 2.5)),
        ("DCMTK storescp", None),
    ):
        pair = {each: seconds[each] for each in ("ours", name) if each in seconds}
        board.rows.append(
            compared(f"{what}, beside {name}", "s", pair, bar, reason=samples.reasons.get(name, ""))
        )
    board.rows += [
        compared("processor time an image", "ms", cpu),
        absolute("processor time an image, ours", "ms", cpu["ours"], Bar("<=", 4.0, of="ours")),
        absolute(
            f"{_ASSOCIATIONS} associations at once, until the last is accepted",
            "s",
            answered["ours"],
            Bar("<=", 3.0, of="ours"),
        ),
    ]
    board.remarks += [
        "Ours and Orthanc flush each file before they answer; pynetdicom's storescp and DCMTK storescp do not.",
        "The sender holds the images in memory. TCP_NODELAY is set for DCMTK and Orthanc.",
    ]
    if samples.reason:
        board.remarks.append(samples.reason)
    return board


def _turn(name: str, folder: Path, images: list[Image]) -> Figures:
    with receiver(name, folder) as (process, port):
        before = cpu_seconds(family(process.pid))
        seconds = send(port, images, called=TITLE, calling=CALLER).seconds
        spent = cpu_seconds(family(process.pid)) - before
        figures = {"seconds": seconds, "cpu_ms": 1000 * spent / len(images)}
        if name == "ours":  # pynetdicom's application takes ten, DCMTK's one after the other
            figures["answered_seconds"] = associate_at_once(port, _ASSOCIATIONS, called=TITLE, calling=CALLER)
    return figures


def series_of_noise(folder: Path, count: int) -> Path:
    """A CT of ``count`` slices of 512 x 512 pixels of noise, written once; its folder."""
    if len(list(folder.glob("*.dcm"))) != count:
        shape = (count, _PIXELS, _PIXELS)
        grid = patient_grid("HFS", shape_zyx=shape, spacing_zyx_mm=(1.0, 1.0, 1.0), center_lps_mm=np.zeros(3))
        hu = np.random.default_rng(1).integers(-1000, 1000, shape, dtype=np.int16)
        write_ct(folder, hu, grid, seed=1)
    return folder
