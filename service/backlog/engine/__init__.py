"""The durable queue behind a few functions; the only package that knows DBOS Transact.

A row of the engine is a key, a payload and a queue. It is submitted in the caller's transaction, so that it
and the ledger's row commit together; a key that was ever submitted is not run a second time. A handler takes
the payload and may ask, by returning :class:`Again`, for a later run under another key. Rules that this
keeps, and why:

* executor ids are unique and locked: two processes under one id would run each other's jobs a second time;
* a reaper gives the jobs of dead executors back, for the library does so only when the same id starts again;
* the application's version is constant, or an upgrade would leave interrupted jobs behind for ever;
* rows are portable JSON, never pickle; WAL on SQLite; one sending process on SQLite, where limits across
  processes are not exact; a priority always, since none runs first; the queue is named on resume.
"""

from __future__ import annotations

from service.backlog.engine.client import (
    COMMIT,
    CONTOUR,
    DELIVER,
    QUEUES,
    REVIEW,
    SHADOW,
    Again,
    EngineClient,
    Waiting,
    migrate,
)
from service.backlog.engine.places import WorkerRefused
from service.backlog.engine.room import Stopped
from service.backlog.engine.worker import EngineWorker

__all__ = [
    "COMMIT",
    "CONTOUR",
    "DELIVER",
    "QUEUES",
    "REVIEW",
    "SHADOW",
    "Again",
    "EngineClient",
    "EngineWorker",
    "Stopped",
    "Waiting",
    "WorkerRefused",
    "migrate",
]
