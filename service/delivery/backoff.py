"""When a failed delivery is tried again, and for how long it has been tried."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from service.delivery.outcome import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.config.site import Backoff

SLOW_FACTOR: Final = 12  # a rejected association is tried so many times less often, at first


def wait_seconds(kind: Kind, attempt: int, retry: Backoff) -> float | None:
    """Seconds until the attempt after ``attempt`` (from 1); None if there is none."""
    if kind not in (Kind.RETRY, Kind.SLOW_RETRY):
        return None
    wait = retry.first_seconds * (SLOW_FACTOR if kind is Kind.SLOW_RETRY else 1)
    for _ in range(attempt - 1):
        if wait >= retry.longest_seconds or retry.factor == 1:
            break
        wait *= retry.factor
    return min(wait, retry.longest_seconds)


def seconds_tried(starts: Sequence[float], retry: Backoff) -> float:
    """For how long there have been attempts, by the times at which they began.

    A time without attempts, in which it was held or the node was off, counts as two of the longest waits.
    """
    return sum(
        min(max(0.0, later - earlier), 2 * retry.longest_seconds) for earlier, later in pairwise(starts)
    )
