"""Hours of a run, also over midnight and over the end of summer time."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from service.errors import NodeError
from service.retrieval.hours import Hours, here

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def at(hour: int, minute: int = 0, day: int = 10) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=STOCKHOLM)


def test_over_midnight():
    night = Hours.parse("18:00-06:00")
    assert [night.seconds_until(at(*time)) for time in ((18, 0), (23, 59), (0, 0), (5, 59))] == [0] * 4
    assert night.seconds_until(at(6, 0)) == 12 * 3600
    assert night.seconds_until(at(17, 30)) == 1800
    assert str(night) == "18:00-06:00"


def test_within_a_day():
    lunch = Hours.parse("12:00-13:30")
    assert lunch.seconds_until(at(13, 29)) == 0
    assert lunch.seconds_until(at(13, 30)) == 22.5 * 3600
    assert lunch.seconds_until(at(11, 0)) == 3600


def test_the_night_in_which_the_clock_is_put_forward_is_an_hour_shorter():
    assert Hours.parse("06:00-07:00").seconds_until(at(0, 0, day=29)) == 5 * 3600


def test_seconds_are_read_in_the_zone():
    assert here(at(18).timestamp(), STOCKHOLM).hour == 18


@pytest.mark.parametrize("text", ["", "18-06", "24:00-06:00", "18:00-18:00", "18:00", "18:00-06:60"])
def test_what_is_no_hours(text):
    with pytest.raises(NodeError, match="--between 18:00-06:00"):
        Hours.parse(text)
