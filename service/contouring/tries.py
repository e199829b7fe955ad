"""How often a job is tried that failed, and after which wait."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from service.backlog.engine import Again
from service.errors import MODEL_KILLED, NodeError, SegmentationFailed, SpoolUnavailable

if TYPE_CHECKING:
    from service.backlog.records import Job

TRIES: Final = 3
"""How often a model may fail on one job before the job is set aside."""
TRIES_IF_KILLED: Final = 8
"""The same where the model process was killed from outside. That is rarely the CT's doing: only if it takes
more memory than there is, the system kills it too."""
_WAITS_SECONDS: Final = (5.0, 30.0)
_WAIT_FOR_DISK_SECONDS: Final = 60.0


class GaveWay(SegmentationFailed):
    """A shadow was broken off for a CT that somebody waits for: no failure of anything."""


def tries_for(error: NodeError) -> float:
    """How often a job is tried that ends like this; a disk that takes nothing is waited for without end.

    A shadow that gave way has not failed, and comes again as often as need be.
    """
    if isinstance(error, SpoolUnavailable | GaveWay):
        return math.inf
    return TRIES_IF_KILLED if error.code == MODEL_KILLED else TRIES


def wait_after(tries: int, error: NodeError) -> float:
    """Seconds until the next try, after ``tries`` have failed."""
    if tries <= len(_WAITS_SECONDS):
        return _WAITS_SECONDS[tries - 1]
    return _WAIT_FOR_DISK_SECONDS if isinstance(error, SpoolUnavailable) else _WAITS_SECONDS[-1]


def is_told_at(tries: int, error: NodeError) -> bool:
    """Whether people hear now of what goes on by itself: once, when it has lasted."""
    return isinstance(error, SpoolUnavailable) and tries == TRIES


def once_more(job: Job, key: str, tries: int, error: NodeError) -> Again:
    """The next try's row, under ``key``; a shadow that gave way has used up none."""
    counted = tries + (not isinstance(error, GaveWay))
    return Again(key, f"{job.id}#{counted}", wait_after(tries, error), priority=job.priority)
