"""From the last image acknowledged to the structure set stored at the TPS, with a model that answers at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from benchmarks.machine import versions
from benchmarks.measure_receive import series_of_noise
from benchmarks.null_node import CALLER, null_node
from benchmarks.processes import cpu_seconds, family
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute, not_measured, quoted
from benchmarks.sending import images_of, renamed, send
from benchmarks.settings import Settings
from postgresql import Unavailable, cluster
from running_node import wait_until

from service.arrival.gathering import GAPS_OF_SILENCE

_SLICES, _ROUNDS = 200, 20
_QUIET_SECONDS = 3.0  # node.quiet_seconds, its default
_PAUSE_SECONDS = 0.37  # so that no round begins at the same point of any timer
_MEDIAN, _LONGEST = Bar("<=", 0.5, of="ours"), Bar("<=", 1.0, of="ours")
_STABLE_AGE = "Orthanc: StableAge 60 s, default of its configuration file"
_MERCURE = "mercure: series_complete_trigger 60 s, default of its configuration"


@dataclass
class Waited:
    """Seconds, one figure a round: all of it, beyond the quiet time, and of all processors of the node."""

    all: list[float] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    slices = 20 if settings.small else _SLICES
    rounds = settings.rounds(3 if settings.small else _ROUNDS)
    board = Scoreboard("latency", versions={"ours": versions()})
    what = f"{slices} slices, last image acknowledged to structure set stored"
    waited = _waited(settings, slices, rounds, "sqlite")
    board.rows = [
        *_rows(what, waited, rounds),
        quoted(f"{what}, quiet time of 3 s included", "s", waited.all, 60.0, _STABLE_AGE),
        quoted(f"{what}, quiet time of 3 s included", "s", waited.all, 60.0, _MERCURE),
    ]
    on_server = f"{what}, on PostgreSQL"
    try:
        with cluster() as server:
            waited = _waited(settings, slices, rounds, server.new_database())
        board.rows += _rows(on_server, waited, rounds)
    except Unavailable as reason:
        board.rows.append(not_measured(on_server, "s", str(reason), _MEDIAN))
    board.remarks += [
        "The quoted times are those for which the peers wait before they hand a series on.",
        f"The quiet time is 3 s, or {GAPS_OF_SILENCE} times the longest gap between two images if that is more, as it may be "
        "on a machine that others use too.",
    ]
    return board


def _waited(settings: Settings, slices: int, rounds: int, database: str) -> Waited:
    """CT after CT, and one before that does not count."""
    folder = series_of_noise(settings.work("latency") / "ct", slices)
    images = images_of(folder)
    waited = Waited()
    with null_node(settings.work("latency") / "node", database=database) as (node, tps):
        node.start(120)
        wait_until(lambda: node.events("model.loaded"), 120)
        for number in range(-1, rounds):
            sent = renamed(images, folder, f"round {number}")
            gap = send(node.port, sent, called="DELINEATE", calling=CALLER).longest_gap_seconds
            acknowledged, before = time.monotonic(), cpu_seconds(family(node.process.pid))
            stored = tps.wait_for_next(number + 1, 120)
            if number >= 0:
                waited.all.append(stored - acknowledged)
                waited.beyond.append(waited.all[-1] - max(_QUIET_SECONDS, GAPS_OF_SILENCE * gap))
                waited.spent.append(cpu_seconds(family(node.process.pid)) - before)
            time.sleep(_PAUSE_SECONDS)
    return waited


def _rows(what: str, waited: Waited, rounds: int) -> list[Row]:
    worst = f"{what}, beyond the quiet time, worst of {rounds}"
    return [
        absolute(f"{what}, beyond the quiet time", "s", waited.beyond, _MEDIAN),
        absolute(worst, "s", waited.beyond, _LONGEST, worst=True),
        absolute(f"{what}, processor time of the whole node", "s", waited.spent),
    ]
