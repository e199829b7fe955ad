"""The arithmetic of the benchmarks: medians, ratios, bars, and what a row says that was not measured."""

from __future__ import annotations

import json
import sys

import pytest
from benchmarks.rounds import Unmeasured, in_own_process, interleaved
from benchmarks.scoreboard import Bar, Scoreboard, absolute, compared, not_measured, quoted

SECONDS = {"ours": [1.0, 9.0, 2.0], "slow": [30.0, 20.0, 10.0], "fast": [8.0, 8.0, 800.0]}


def test_ours_is_held_against_the_best_median():
    row = compared("work", "s", SECONDS, Bar("<=", 0.25, against="of the fastest"))
    assert (row.ours, row.peer, row.peer_name, row.ratio, row.holds) == (2.0, 8.0, "fast", 0.25, True)
    assert row.peers == {"slow": 20.0, "fast": 8.0}
    assert compared("work", "s", SECONDS, Bar("<=", 0.249)).holds is False


def test_at_least_asks_how_many_times_better_ours_is():
    times = compared("work", "s", SECONDS, Bar(">=", 5))
    assert (times.ratio, times.holds) == (4.0, False)
    rate = {"ours": [30.0], "slow": [5.0], "fast": [10.0]}
    row = compared("work", "images/s", rate, Bar(">=", 2.5), more_is_better=True)
    assert (row.peer_name, row.ratio, row.holds) == ("fast", 3.0, True)


def test_a_bar_on_ours_alone_and_on_the_worst_of_all_rounds():
    median = absolute("start", "s", [1.0, 2.0, 9.0], Bar("<=", 3, of="ours"))
    assert (median.ours, median.ratio, median.holds) == (2.0, None, True)
    worst = absolute("start", "s", [1.0, 2.0, 9.0], Bar("<=", 3, of="ours"), worst=True)
    assert (worst.ours, worst.holds) == (9.0, False)


def test_a_quoted_figure_gives_no_ratio_and_is_marked():
    row = quoted("latency", "s", [1.0], 60.0, "the peer's manual", Bar("<=", 0.5))
    assert (row.peer, row.ratio, row.holds) == (60.0, None, None)
    board = Scoreboard("latency", [row])
    assert "60 s (quoted)" in board.table()
    assert row.as_json()["quoted"] == "the peer's manual"


def test_what_was_not_measured_says_why(tmp_path):
    row = not_measured("on a GPU", "s", "no GPU here", Bar("<=", 0.4, of="ours"))
    board = Scoreboard("infer", [row])
    assert "not measured" in board.table()
    assert "no GPU here" in board.table()
    (found,) = json.loads(board.write(tmp_path).read_text())["rows"]
    assert (found["ours"], found["holds"], found["bar"]) == ("not measured", None, "<= 0.4 s")


def test_every_round_begins_with_another_contestant_and_warm_up_does_not_count():
    order: list[str] = []

    def contestant(name):
        def run():
            order.append(name)
            return {"seconds": len(order)}

        return run

    samples = interleaved({name: contestant(name) for name in ("ours", "peer")}, rounds=2, warm_up=1)
    assert order == ["peer", "ours", "ours", "peer", "peer", "ours"]
    assert samples.of("seconds") == {"ours": [3.0, 6.0], "peer": [4.0, 5.0]}


def test_a_peer_that_cannot_run_is_left_out_with_its_reason_and_ours_must_run():
    def missing():
        raise Unmeasured("not installed")

    samples = interleaved({"ours": lambda: {"seconds": 1.0}, "peer": missing}, rounds=2)
    assert samples.of("seconds") == {"ours": [1.0, 1.0]}
    assert samples.reason == "peer did not run: not installed"
    with pytest.raises(Unmeasured):
        interleaved({"ours": missing}, rounds=1)


def test_a_program_is_measured_in_a_process_of_its_own():
    allocate = "a = bytearray(64 * 2**20); a[::4096] = bytes(len(a[::4096]))"
    figures = in_own_process("program", {"command": [sys.executable, "-S", "-c", allocate]})
    assert 64 < figures["peak_mib"] < 128
    with pytest.raises(Unmeasured):
        in_own_process("program", {"command": [sys.executable, "-S", "-c", "raise SystemExit(1)"]})
