"""The time of day held against a clock that only runs forward."""

from __future__ import annotations

from service.backlog.engine.wall_clock import WallClock


def test_only_a_clock_that_was_set_back_is_said_and_only_once():
    wall, steady = [1000.0], [5.0]
    clock = WallClock(lambda: wall[0], lambda: steady[0])

    def after(seconds, jump=0.0):
        steady[0] += seconds
        wall[0] += seconds + jump
        return clock.set_back_by()

    assert after(1) == 0
    assert after(1, -3600) == 3600
    assert after(1) == 0
    assert after(1, 7200) == 0
    assert after(1, -0.5) == 0
