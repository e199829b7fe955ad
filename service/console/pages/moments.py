"""Times and durations as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from service.backlog.database import now

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def when(at: float | None, zone: str, language: str = "en") -> str:
    """The time of day, and the date too unless it is today's; a dash if there is none."""
    if at is None:
        return "–"
    there, today = (datetime.fromtimestamp(each, ZoneInfo(zone)) for each in (at, now()))
    if there.date() == today.date():
        return there.strftime("%H:%M:%S")
    return f"{day(at, zone, language)} {there:%H:%M}"


def day(at: float, zone: str, language: str = "en") -> str:
    """The date, with the year unless it is this one."""
    there, today = (datetime.fromtimestamp(each, ZoneInfo(zone)) for each in (at, now()))
    date = f"{there.month}月{there.day}日" if language == "zh" else f"{there.day} {there:%b}"
    return date if there.year == today.year else f"{there.year} {date}"


def when_written(text: str | None, zone: str, language: str = "en") -> str:
    """The same of a time in ISO 8601."""
    return when(None if text is None else datetime.fromisoformat(text).timestamp(), zone, language)


def machine_readable(at: float | None, zone: str) -> str:
    """For the attribute ``datetime``, to the second."""
    return "" if at is None else datetime.fromtimestamp(at, ZoneInfo(zone)).isoformat(timespec="seconds")


def duration(seconds: float | None) -> str:
    """Such as ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d``; a dash if there is none."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d"
