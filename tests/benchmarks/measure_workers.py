"""Jobs a minute with 1, 2 and 4 contouring workers on one PostgreSQL, with a model that waits in a GPU's place.

A model that computes would share the cores that there are; one that sleeps leaves them to the node, as a GPU does. What
is shown is that workers do not stand in each other's way, not how fast a model is.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analytic_bundle import MODEL, STRUCTURES, small_ct, write_bundle
from benchmarks.machine import versions
from benchmarks.null_node import CALLER, TimedTps, config_of
from benchmarks.scoreboard import Bar, Scoreboard, absolute, not_measured
from benchmarks.settings import Settings
from matplotlib.figure import Figure
from postgresql import Unavailable, cluster
from running_node import RunningNode, send_ct, wait_until

WORKERS = (1, 2, 4)
_MODEL_SECONDS, _JOBS_A_WORKER = 12.0, 4


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    seconds, jobs = (0.5, 2) if settings.small else (_MODEL_SECONDS, _JOBS_A_WORKER)
    counts = WORKERS[:2] if settings.small else WORKERS
    board = Scoreboard("workers", versions={"ours": versions()})
    try:
        with cluster() as server:
            found = {}
            for count in counts:
                folder = settings.work("workers") / f"{count}-{time.time_ns()}"
                found[count] = _jobs_a_minute(folder, server.new_database(), count, seconds, jobs)
    except Unavailable as reason:
        board.rows = [not_measured("jobs a minute", "1/min", str(reason))]
        return board
    what = f"jobs a minute, a model that waits {seconds:g} s, workers:"
    board.rows = [absolute(f"{what} {count}", "1/min", [rate]) for count, rate in found.items()]
    most = counts[-1]
    growth = found[most] / found[1] / most
    bar = None if settings.small else Bar(">=", 0.9, of="ours")
    board.rows.append(absolute(f"{most} workers as a part of {most} times one", "", [growth], bar))
    picture = settings.out / "workers.png"
    _plot(picture, found, seconds)
    board.remarks.append(f"The plot is {picture.name} beside the JSON file. The waiting stands for a GPU.")
    return board


def _jobs_a_minute(folder: Path, url: str, workers: int, seconds: float, jobs_a_worker: int) -> float:
    """From the set with which every worker has ended its first job to the last one."""
    folder.mkdir(parents=True)
    program = MODEL.replace(
        "def segment(volume):", f"def segment(volume):\n        import time; time.sleep({seconds})"
    )
    write_bundle(folder / "bundles" / "analytic", program)
    tps = TimedTps()
    config = config_of(tps, folder / "bundles")
    config["protocols"] = {"null": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}}
    config["node"] |= {"database": url.replace("+psycopg", ""), "quiet_seconds": 1}
    node = RunningNode(folder, config)
    count = workers * jobs_a_worker
    series = [small_ct(folder / f"ct-{seed}", seed, slices=8) for seed in range(count)]
    try:
        node.start(120)
        with _more_workers(node, workers - 1):
            wait_until(lambda: len(node.events("engine.started")) == workers, 300)
            wait_until(lambda: len(node.events("model.loaded")) == workers, 300)
            for files in series:
                send_ct(files, node.port, calling=CALLER)
            wait_until(lambda: len(tps.at) >= count, 60 + 4 * seconds * jobs_a_worker)
    finally:
        node.stop(60)
        tps.close()
    stored = sorted(tps.at)
    return 60 * (count - workers) / (stored[-1] - stored[workers - 1])


@contextmanager
def _more_workers(node: RunningNode, number: int) -> Iterator[None]:
    """Workers that contour, beside the node's own."""
    words = [sys.executable, "-P", "-m", "service", "work", "--queues", "contour"]
    started = []
    with node.log_file.open("ab") as log:
        for n in range(number):
            command = [*words, "--role", f"gpu{n}", "--config", str(node.config_file)]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=node.folder))
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(60)


def _plot(file: Path, found: dict[int, float], seconds: float) -> None:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    counts = sorted(found)
    axes.plot(
        counts, [60 / seconds * n for n in counts], "--", color="grey", label="if only the model counted"
    )
    axes.plot(counts, [found[n] for n in counts], marker="o", label="measured")
    axes.set(
        xlabel=f"workers, each with a model that waits {seconds:g} s",
        ylabel="jobs a minute",
        xlim=(0, None),
        ylim=(0, None),
    )
    axes.legend()
    figure.savefig(file, dpi=120)
