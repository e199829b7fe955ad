"""The hours in which a retrospective run may work, so that it leaves the day to the clinic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from service.errors import NodeError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_WRITTEN: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """From one time of the day to another, over midnight if the second is the earlier; times in minutes."""

    begins: int
    ends: int

    @classmethod
    def parse(cls, text: str) -> Hours:
        """``18:00-06:00``.

        Raises:
            NodeError: it is not written so, or says no time at all.
        """
        found = _WRITTEN.fullmatch(text.strip())
        begins, ends = (
            (int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])) if found else (0, 0)
        )
        if begins == ends:
            raise NodeError("pull.hours-invalid", "Write the hours as in --between 18:00-06:00.")
        return cls(begins, ends)

    def seconds_until(self, at: datetime) -> float:
        """Seconds from ``at`` until work may go on; 0 if it may."""
        minute = at.hour * 60 + at.minute
        within = (
            self.begins <= minute < self.ends
            if self.begins < self.ends
            else not self.ends <= minute < self.begins
        )
        if within:
            return 0.0
        begin = at.replace(hour=self.begins // 60, minute=self.begins % 60, second=0, microsecond=0)
        if begin <= at:
            begin += timedelta(days=1)
        return begin.timestamp() - at.timestamp()

    def __str__(self) -> str:
        return "-".join(f"{each // 60:02}:{each % 60:02}" for each in (self.begins, self.ends))


def here(at: float, zone: ZoneInfo) -> datetime:
    """Seconds since the epoch as a time of the day in that zone."""
    return datetime.fromtimestamp(at, zone)
