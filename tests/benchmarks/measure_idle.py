"""What a node costs that has nothing to do, and how soon it is there: all its processes, on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import versions
from benchmarks.measure_receive import series_of_noise
from benchmarks.null_node import CALLER, TimedTps, null_node
from benchmarks.processes import cpu_seconds, family, pss_mib
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute, not_measured
from benchmarks.sending import images_of, send
from benchmarks.settings import Settings
from postgresql import Unavailable, cluster
from running_node import RunningNode, wait_until

_STARTS, _IDLE_SECONDS, _SLICES = 5, 60.0, 200
_SHIPPED = {
    "external": {"model": "external@1.0", "structures": {"External": None}},
    "pelvis-ct": {"model": "pelvis-ct@2.0", "allow_unvalidated": True, "structures": {"Bladder": None}},
}
_BARS = {
    "cpu": Bar("<=", 5.0, of="ours"),
    "pss": Bar("<=", 600.0, of="ours"),
    "ready": Bar("<=", 3.0, of="ours"),
    "warm": Bar("<=", 20.0, of="ours"),
}


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    starts = settings.rounds(2 if settings.small else _STARTS)
    seconds = 5.0 if settings.small else _IDLE_SECONDS
    folder = series_of_noise(settings.work("idle") / "ct", 20 if settings.small else _SLICES)
    ready: list[float] = []
    spent: list[float] = []
    warm: list[float] = []
    with null_node(settings.work("idle") / "node", _SHIPPED) as (node, tps):
        for number in range(starts):
            node.log_file.unlink(missing_ok=True)
            found = _start(node)
            for figures, figure in zip((ready, spent, warm), found, strict=True):
                figures.append(figure)
            if number < starts - 1:
                node.stop()
        cpu, memory = _idle_after_a_ct(node, tps, folder, seconds)
    board = Scoreboard("idle", versions={"ours": versions()})
    board.rows = [
        absolute("start of `delineate serve` to accepting associations", "s", ready, _BARS["ready"]),
        absolute("the same, processor time of all processes until then", "s", spent),
        absolute("start of `delineate serve` to the shipped models warm, CPU", "s", warm, _BARS["warm"]),
        absolute(
            f"processor, all processes, {seconds:.0f} s idle", "% of a core", [cpu["all"]], _BARS["cpu"]
        ),
        absolute("PSS, all processes but the model's", "MiB", [memory["all but the model's"]], _BARS["pss"]),
        *(absolute(f"processor, {role}", "% of a core", [cpu[role]]) for role in cpu if role != "all"),
        *(absolute(f"PSS, {role}", "MiB", [memory[role]]) for role in memory if "all" not in role),
    ]
    board.rows += _on_server(settings, folder, seconds)
    board.remarks.append("Idle after a CT was received, contoured by a model that answers at once, and sent.")
    return board


def _start(node: RunningNode) -> tuple[float, float, float]:
    """Seconds until the node says that it listens, of processors till then, and until its models are loaded."""
    began = time.monotonic()
    with node.log_file.open("ab") as log:
        node.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "service", "serve", "--config", str(node.config_file)],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=node.folder,
        )
    assert node.process.stdout is not None
    said = json.loads(node.process.stdout.readline())
    assert said["event"] == "node.ready"
    ready, spent = time.monotonic() - began, cpu_seconds(family(node.process.pid))
    wait_until(lambda: len(node.events("model.loaded")) == 1 + len(_SHIPPED), 120)
    return ready, spent, time.monotonic() - began


def _on_server(settings: Settings, folder: Path, seconds: float) -> list[Row]:
    what = f"on PostgreSQL: processor, all of our processes, {seconds:.0f} s idle"
    try:
        with (
            cluster() as server,
            null_node(settings.work("idle") / "node", _SHIPPED, server.new_database()) as (node, tps),
        ):
            _start(node)
            cpu, memory = _idle_after_a_ct(node, tps, folder, seconds)
    except Unavailable as reason:
        return [not_measured(what, "% of a core", str(reason), _BARS["cpu"])]
    ours = memory["all but the model's"]
    return [
        absolute(what, "% of a core", [cpu["all"]], _BARS["cpu"]),
        absolute("on PostgreSQL: PSS, all of our processes but the model's", "MiB", [ours], _BARS["pss"]),
    ]


def _idle_after_a_ct(
    node: RunningNode, tps: TimedTps, folder: Path, seconds: float
) -> tuple[dict[str, float], dict[str, float]]:
    send(node.port, images_of(folder), called="DELINEATE", calling=CALLER)
    tps.wait_for_next(0, 120)
    time.sleep(5)
    return _idle(node, seconds)


def _idle(node: RunningNode, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Percent of a core and PSS in MiB, by process."""
    assert node.process is not None
    roles = {pid: _role(pid) for pid in family(node.process.pid)}
    began, before = time.monotonic(), {pid: cpu_seconds([pid]) for pid in roles}
    time.sleep(seconds)
    passed = time.monotonic() - began
    cpu = {role: 100 * (cpu_seconds([pid]) - before[pid]) / passed for pid, role in roles.items()}
    memory = {role: pss_mib(pid) for pid, role in roles.items()}
    rest = sum(amount for role, amount in memory.items() if role != "model-process")
    return {"all": sum(cpu.values()), **cpu}, {"all but the model's": rest, **memory}


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return words[words.index("service") + 1]
