"""A queue of CTs before the worker alone: decoded, segmented, contoured and written, one after the other or overlapped.

The worker's own stages run here without engine, database and network, so that beside PyTorch, NumPy, contourpy and
connected-components-3d only pydicom and pydantic are needed. With a GPU there are 40 CTs of 200 x 512 x 512; without
one a few phantoms of their own size, to show that the stages overlap.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from benchmarks.machine import versions
from benchmarks.rounds import Figures, interleaved
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute, compared, not_measured
from benchmarks.settings import Settings

from models.cards.catalog import find_bundle
from models.synthetic_ct.phantoms.phantom import pelvic_phantom
from models.volume import Grid
from service.backlog.spool import write_durably
from service.config.reader import LoadedSite, parse
from service.contouring.contoured_ct import SetOrigin, contour_ct, site_time
from service.contouring.model_queue import JOBS_A_MODEL, ModelQueue
from service.contouring.profiles import profile_named
from service.contouring.segment import ModelClient
from service.dicom.ct_writer import write_ct

MODEL = "pelvis-ct@2.0"
_SHAPE_ON_GPU = (200, 512, 512)
_CTS_ON_GPU, _CTS_ON_CPU, _ROUNDS = 40, 8, 3
_BUSY = Bar(">=", 90.0, of="ours")


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    has_gpu = shutil.which("nvidia-smi") is not None
    small = settings.small or not has_gpu
    count = _CTS_ON_CPU if small else _CTS_ON_GPU
    work = settings.work("queue-cpu" if small else "queue-gpu")
    files, shape = _phantom(work / "ct", None if small else _SHAPE_ON_GPU)
    loaded = _site(work)
    _be_known(work / "metadata")
    with ModelClient(loaded, quiet=True) as client:
        client.warm(find_bundle(MODEL, loaded.bundle_folders))
        _run(client, loaded, files, work / "sets", 1, 1)  # what the first CT of all waits for
        turns = {
            "ours": lambda: _run(client, loaded, files, work / "sets", count, JOBS_A_MODEL),
            "one after the other": lambda: _run(client, loaded, files, work / "sets", count, 1),
        }
        samples = interleaved(turns, settings.rounds(1 if settings.small else _ROUNDS))
    what = f"{count} CTs of {' x '.join(map(str, shape))}, {'GPU' if has_gpu else 'CPU'}"
    seconds = samples.of("seconds_a_ct")
    board = Scoreboard("queue", versions={"ours": versions()})
    board.rows = [
        compared(f"{what}, decoded to written, a CT", "s", seconds),
        absolute(f"{what}, model process busy between first and last", "%", samples.of("busy")["ours"]),
        absolute(f"{what}, the same one after the other", "%", samples.of("busy")["one after the other"]),
        _gpu_row(what, samples.of("gpu_busy").get("ours", []), full=not small),
    ]
    board.remarks += [
        f"{MODEL}, {JOBS_A_MODEL} jobs in hand; the peer is the same worker with one.",
        "Busy is the time from handing a CT to the model process to having its answer; on CPU the other stages run on "
        "the same cores, so that little is gained.",
    ]
    return board


def _gpu_row(what: str, samples: list[float], *, full: bool) -> Row:
    words = f"{what}, GPU busy between first and last"
    if not samples:
        return not_measured(
            f"{_CTS_ON_GPU} CTs queued, GPU busy between first and last", "%", "no GPU here", _BUSY
        )
    return absolute(words, "%", samples, _BUSY if full else None)


class _Timed:
    """The model process, with a note of when it had a CT."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client
        self.spans: list[tuple[float, float]] = []

    def segment(self, *given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._client.segment(*given, **named)
        finally:
            self.spans.append((began, time.perf_counter()))


def _run(
    client: ModelClient, loaded: LoadedSite, files: list[Path], out: Path, count: int, jobs: int
) -> Figures:
    """Contour the CT ``count`` times with so many jobs in hand; each has UIDs of its own."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    timed = _Timed(client)
    models = ModelQueue((timed,))  # type: ignore[arg-type]
    protocol, profile = loaded.site.protocols["pelvis"], profile_named("generic")

    def job(number: int) -> None:
        done = contour_ct(files, loaded, protocol, models.turn(100))
        origin = SetOrigin(f"job {number}", site_time(loaded))
        write_durably(out / f"{number}.dcm", done.structure_set(loaded, profile, origin))

    with _gpu_watched() as gpu:
        began = time.perf_counter()
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(job, range(count)))
        seconds = time.perf_counter() - began
    first, last = min(begin for begin, _ in timed.spans), max(end for _, end in timed.spans)
    busy = sum(end - begin for begin, end in timed.spans) / (last - first)
    inside = [percent for at, percent in gpu if first <= at <= last]
    figures = {"seconds_a_ct": seconds / count, "busy": 100 * busy}
    return figures | ({"gpu_busy": sum(inside) / len(inside)} if inside else {})


@contextmanager
def _gpu_watched() -> Iterator[list[tuple[float, float]]]:
    """When, and for which part of the 0.1 s before, a kernel ran on the first GPU; empty without one."""
    found: list[tuple[float, float]] = []
    query = shutil.which("nvidia-smi")
    if query is None:
        yield found
        return
    asked = [query, "-i", "0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout

        def read() -> None:
            for line in lines:
                if line.strip().isdigit():
                    found.append((time.perf_counter(), float(line)))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield found
        finally:
            process.terminate()
            reader.join()


def _be_known(folder: Path) -> None:
    """Where this was only copied to, give it the version that structure sets name."""
    try:
        importlib.metadata.version("delineate")
    except importlib.metadata.PackageNotFoundError:
        (folder / "delineate-0.dist-info").mkdir(parents=True, exist_ok=True)
        (folder / "delineate-0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: delineate\nVersion: 0\n"
        )
        sys.path.append(str(folder))


def _site(folder: Path) -> LoadedSite:
    card = find_bundle(MODEL, ())
    config = {
        "node": {"storage": str(folder / "var")},
        "protocols": {
            "pelvis": {
                "model": MODEL,
                "allow_unvalidated": True,
                "structures": dict.fromkeys(card.structures),
            }
        },
    }
    return parse(yaml.safe_dump(config, sort_keys=False), folder / "config.yaml", check_bundles=False)


def _phantom(folder: Path, shape: tuple[int, int, int] | None) -> tuple[list[Path], tuple[int, int, int]]:
    """A pelvic phantom as uncompressed CT, on its own grid or as finely as ``shape``; its files and its shape."""
    patient = pelvic_phantom(7)
    grid = patient.grid()
    if shape is not None:
        grid = _as_finely(grid, shape)
    if len(list(folder.glob("*.dcm"))) != grid.shape_zyx[0]:
        write_ct(folder, patient.sample(grid).hu, grid, seed=7)
    return sorted(folder.glob("*.dcm")), grid.shape_zyx


def _as_finely(grid: Grid, shape: tuple[int, int, int]) -> Grid:
    """The same place, cut into ``shape`` voxels."""
    parts = [m / n for n, m in zip(shape, grid.shape_zyx, strict=True)]
    first, second = grid.slice_origins_lps_mm[:2]
    origins = first + np.arange(shape[0])[:, None] * parts[0] * (second - first)
    return Grid(
        origins, grid.column_step_lps_mm * parts[2], grid.row_step_lps_mm * parts[1], shape[1], shape[2]
    )
