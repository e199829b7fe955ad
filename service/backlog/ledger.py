"""The record that people see: every series, job, delivery and attempt, with what happened and when.

The engine (:mod:`service.backlog.engine`) drives; this says what is so. Both live in one database, so that
our row and the engine's commit together. The spool is the truth for instances: rows of series can be made
again from it.
"""

from __future__ import annotations

from service.backlog.database import LedgerRefused
from service.backlog.ledger_erasure import ErasureLedger
from service.backlog.ledger_story import Attempt, Counts, Event, JobLine, JobSearch, Story

__all__ = [
    "Attempt",
    "Counts",
    "Event",
    "JobLine",
    "JobSearch",
    "Ledger",
    "LedgerRefused",
    "Story",
    "contour_key",
    "deliver_key",
]


class Ledger(ErasureLedger):
    """``Ledger(database_url, storage=None)``: see :class:`service.backlog.database.Database` for ``storage``.

    Methods that take a connection are part of the caller's transaction (``with ledger.begin() as conn``); the
    others are one of their own.
    """


def contour_key(job_id: str, n: int = 1) -> str:
    """The engine's key of the n-th submission of a job."""
    return f"contour:{job_id}:{n}"


def deliver_key(delivery_id: int, attempt: int = 1, submission: int = 1) -> str:
    """The engine's key of an attempt of a delivery, of its n-th submission by a person."""
    return f"deliver:{delivery_id}:{attempt}" + ("" if submission == 1 else f".{submission}")
