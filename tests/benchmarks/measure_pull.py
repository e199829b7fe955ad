"""A CT of 200 images pulled by C-GET from DCMTK's archive into the node, beside DCMTK's getscu into a folder.

Ours hands each image on to the node's own Storage SCP, which flushes file and folder, before the archive hears of it;
getscu writes files and flushes none. Both take the images as the same dcmqrscp gives them, one after the other.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pydicom
import yaml
from archives import DCMQRSCP, RunningArchive, dcmqrscp
from bare_sender import CT
from benchmarks.machine import debian_version, versions
from benchmarks.measure_receive import series_of_noise
from benchmarks.processes import end
from benchmarks.rounds import Figures, Unmeasured, interleaved
from benchmarks.scoreboard import Scoreboard, compared
from benchmarks.settings import Settings
from running_node import wait_until

from service.backlog.pull_orders import PullOrder, PullOrders
from service.config.archive_section import Archive
from service.delivery.association import Peer
from service.retrieval.dimse_archive import DimseArchive
from service.retrieval.found import FoundSeries, Taken
from service.retrieval.relay import Relay

_IMAGES, _ROUNDS = 200, 5
_GETSCU = Path("/usr/bin/getscu")


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    count = 20 if settings.small else _IMAGES
    work = settings.work("pull")
    files = sorted(series_of_noise(work / "ct", count).glob("*.dcm"))
    ds = pydicom.dcmread(files[0], stop_before_pixels=True)
    series = FoundSeries(ds.StudyInstanceUID, ds.SeriesInstanceUID, count)
    if not DCMQRSCP.exists() or not _GETSCU.exists():
        raise Unmeasured("DCMTK is not installed")
    shutil.rmtree(work / "qr", ignore_errors=True)
    with dcmqrscp(work / "qr", 11112) as archive:
        archive.take(files, "QR")
        turns = {
            "ours": partial(_ours, work / "node", archive, series),
            "DCMTK getscu": partial(_getscu, work / "got", archive, series),
        }
        samples = interleaved(turns, settings.rounds(_ROUNDS))
    board = Scoreboard("pull", versions={"ours": versions()})
    board.versions["debian"] = debian_version("dcmtk")
    what = f"{count} CT of 0.5 MB by C-GET from dcmqrscp"
    board.rows.append(compared(what, "s", samples.of("seconds"), None))
    board.remarks.append(
        "Ours flushes each file, in the node, before the archive hears of it; getscu does not."
    )
    if samples.reason:
        board.remarks.append(samples.reason)
    return board


def _ours(folder: Path, archive: RunningArchive, series: FoundSeries) -> Figures:
    with _node(folder, archive) as port:
        order = PullOrder("qr", "QR", series.instances, "bench", 900)
        PullOrders(folder / "var").place(series.series_instance_uid, order)
        section = Archive(ae_title="QR", host="127.0.0.1", port=archive.port)
        source = DimseArchive(section, "DELINEATE", (CT,), lambda _: folder)
        taken, begun = Taken(), time.perf_counter()
        with Relay(lambda: Peer("DELINEATE", "127.0.0.1", port, "QR"), (CT,)) as relay:
            source.retrieve(series, relay, taken)
        seconds = time.perf_counter() - begun
    if len(taken.stored) != series.instances:
        message = f"{len(taken.stored)} of {series.instances} images came"
        raise RuntimeError(message)
    return {"seconds": seconds}


def _getscu(folder: Path, archive: RunningArchive, series: FoundSeries) -> Figures:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    keys = ["QueryRetrieveLevel=SERIES", f"StudyInstanceUID={series.study_instance_uid}"]
    keys.append(f"SeriesInstanceUID={series.series_instance_uid}")
    asked = [part for key in keys for part in ("-k", key)]
    begun = time.perf_counter()
    subprocess.run(
        [
            str(_GETSCU),
            "-S",
            "-aec",
            "QR",
            "-pdu",
            "131072",
            "-od",
            str(folder),
            *asked,
            "127.0.0.1",
            str(archive.port),
        ],
        check=True,
        capture_output=True,
        env={"TCP_NODELAY": "1"},
    )
    seconds = time.perf_counter() - begun
    if len(list(folder.iterdir())) != series.instances:
        message = "getscu did not get all images"
        raise RuntimeError(message)
    return {"seconds": seconds}


@contextmanager
def _node(folder: Path, archive: RunningArchive) -> Iterator[int]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = {
        "node": {"port": 0, "storage": str(folder / "var"), "quiet_seconds": 600},
        "archives": {"qr": {"ae_title": "QR", "host": "127.0.0.1", "port": archive.port}},
        "protocols": {"external": {"model": "external@1.0", "structures": {"External": None}}},
        "routes": [{"name": "CT", "contour": "external", "mode": "shadow"}],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-P", "-m", "service", "arrival", "--config", str(folder / "config.yaml")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        file = folder / "var" / "arrival.port"
        wait_until(file.exists, 60)
        yield int(file.read_text())
    finally:
        end(process)
