"""Waits grow, stay bounded, and end."""

from __future__ import annotations

import pytest

from service.config.site import Backoff
from service.delivery.backoff import seconds_tried, wait_seconds
from service.delivery.outcome import Kind

SHIPPED = Backoff()  # 5 s, twice as long each time, at most 900 s, for 48 h


def test_each_wait_is_twice_the_last_up_to_the_longest() -> None:
    waits = [wait_seconds(Kind.RETRY, attempt, SHIPPED) for attempt in range(1, 11)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


def test_a_slow_retry_begins_with_a_minute() -> None:
    waits = [wait_seconds(Kind.SLOW_RETRY, attempt, SHIPPED) for attempt in range(1, 6)]
    assert waits == [60, 120, 240, 480, 900]


def test_attempts_without_number_do_not_overflow() -> None:
    assert wait_seconds(Kind.RETRY, 10**6, Backoff(factor=10.0)) == 900
    assert wait_seconds(Kind.RETRY, 10**6, Backoff(factor=1.0)) == 5


@pytest.mark.parametrize("kind", [Kind.DONE, Kind.DONE_WITH_WARNING, Kind.DEAD])
def test_what_has_ended_is_not_tried_again(kind: Kind) -> None:
    assert wait_seconds(kind, 1, SHIPPED) is None


def test_time_tried_is_the_time_between_attempts() -> None:
    assert seconds_tried([100.0, 105.0, 115.0], SHIPPED) == 15
    assert seconds_tried([100.0], SHIPPED) == 0


def test_a_weekend_without_power_is_not_time_tried() -> None:
    weekend = 3 * 86400.0
    assert seconds_tried([0.0, 5.0, 5.0 + weekend], SHIPPED) == 5 + 2 * 900


def test_a_clock_that_was_set_back_does_not_count() -> None:
    assert seconds_tried([1000.0, 400.0, 410.0], SHIPPED) == 10
