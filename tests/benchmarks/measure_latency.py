"""From the last image acknowledged to the structure set stored at the TPS, with a model that answers at once."""

from __future__ import annotations

import time

from benchmarks.machine import versions
from benchmarks.measure_receive import series_of_noise
from benchmarks.null_node import CALLER, null_node
from benchmarks.processes import cpu_seconds, family
from benchmarks.scoreboard import Bar, Scoreboard, absolute, quoted
from benchmarks.sending import images_of, renamed, send
from benchmarks.settings import Settings
from running_node import wait_until

from service.arrival.gathering import GAPS_OF_SILENCE

_SLICES, _ROUNDS = 200, 20
_QUIET_SECONDS = 3.0  # node.quiet_seconds, its default
_PAUSE_SECONDS = 0.37  # so that no round begins at the same point of any timer
_STABLE_AGE = "Orthanc: StableAge 60 s, default of its configuration file"
_MERCURE = "mercure: series_complete_trigger 60 s, default of its configuration"


def measure(settings: Settings) -> Scoreboard:
    """Run it."""
    slices = 20 if settings.small else _SLICES
    rounds = settings.rounds(3 if settings.small else _ROUNDS)
    folder = series_of_noise(settings.work("latency") / "ct", slices)
    images = images_of(folder)
    waited: list[float] = []
    beyond: list[float] = []
    spent: list[float] = []
    with null_node(settings.work("latency") / "node") as (node, tps):
        node.start(120)
        wait_until(lambda: node.events("model.loaded"), 120)
        for number in range(-1, rounds):
            sent = renamed(images, folder, f"round {number}")
            gap = send(node.port, sent, called="DELINEATE", calling=CALLER).longest_gap_seconds
            acknowledged, before = time.monotonic(), cpu_seconds(family(node.process.pid))
            stored = tps.wait_for_next(number + 1, 120)
            if number >= 0:
                waited.append(stored - acknowledged)
                beyond.append(waited[-1] - max(_QUIET_SECONDS, GAPS_OF_SILENCE * gap))
                spent.append(cpu_seconds(family(node.process.pid)) - before)
            time.sleep(_PAUSE_SECONDS)
    board = Scoreboard("latency", versions={"ours": versions()})
    what = f"{slices} slices, last image acknowledged to structure set stored"
    board.rows = [
        absolute(f"{what}, beyond the quiet time", "s", beyond, Bar("<=", 0.5, of="ours")),
        absolute(
            f"{what}, beyond the quiet time, worst of {rounds}",
            "s",
            beyond,
            Bar("<=", 1.0, of="ours"),
            worst=True,
        ),
        absolute(f"{what}, processor time of the whole node", "s", spent),
        quoted(f"{what}, quiet time of 3 s included", "s", waited, 60.0, _STABLE_AGE),
        quoted(f"{what}, quiet time of 3 s included", "s", waited, 60.0, _MERCURE),
    ]
    board.remarks += [
        "The quoted times are those for which the peers wait before they hand a series on.",
        f"The quiet time is 3 s, or {GAPS_OF_SILENCE} times the longest gap between two images if that is more, as it may be "
        "on a machine that others use too.",
    ]
    return board
