"""Events with allow-listed keys, one JSON object a line on standard error.

A log line may carry a job id, codes, counts and configured names; never a name, date, UID, path,
description or the text of an exception from a DICOM library. The ledger resolves job ids.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import Final

ALLOWED_KEYS: Final = frozenset(
    {
        "address", "ae_title", "attempt", "bytes", "called_ae_title", "code", "count", "destination",
        "device", "exit_code", "failpoint", "files", "free_bytes", "instances", "job", "kind", "line",
        "mode", "model", "module", "ms", "pid", "port", "precision", "priority", "protocol", "queue",
        "role", "route", "seconds", "series", "signal", "slices", "sop_class", "source", "stage", "state",
        "status", "structure", "structures", "transfer_syntax", "type", "version",
    }
)  # fmt: skip

QUIET: Final = "DELINEATE_QUIET"
"""In the environment it leaves out what is as it should be, for commands that people watch."""

Value = str | int | float | bool | None


class DisallowedKey(ValueError):
    """A key that is not on the allow-list was about to be logged."""


class EventLog:
    """Writes events of one stage, e.g. ``arrival``."""

    def __init__(self, stage: str) -> None:
        self._logger = logging.getLogger(f"delineate.{stage}")
        self._stage = stage

    def info(self, event: str, **facts: Value) -> None:
        """Something happened as it should."""
        self._emit(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Value) -> None:
        """A person may want to look."""
        self._emit(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Value) -> None:
        """A person must look."""
        self._emit(logging.ERROR, event, facts)

    def failure(self, event: str, error: BaseException, **facts: Value) -> None:
        """An exception nobody expected: its type and the place it came from, never its text."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            facts["module"] = trace.tb_frame.f_globals.get("__name__", "?")
            facts["line"] = trace.tb_lineno
        self._emit(logging.ERROR, event, {**facts, "type": type(error).__name__})

    def _emit(self, level: int, event: str, facts: dict[str, Value]) -> None:
        foreign = facts.keys() - ALLOWED_KEYS
        if foreign:
            if os.environ.get("DELINEATE_STRICT_LOG"):
                message = f"log keys not on the allow-list: {sorted(foreign)}"
                raise DisallowedKey(message)
            facts = {key: value for key, value in facts.items() if key in ALLOWED_KEYS}
        self._logger.log(level, event, extra={"stage_": self._stage, "facts_": facts})


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts_", None)
        if facts is None:  # a library's own record: only where it came from
            return json.dumps(
                {
                    "at": _utc(record.created),
                    "level": record.levelname,
                    "event": "library",
                    "module": record.name,
                }
            )
        stage = getattr(record, "stage_", "?")
        head = {
            "at": _utc(record.created),
            "level": record.levelname,
            "stage": stage,
            "event": record.getMessage(),
        }
        return json.dumps(head | facts)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


def start_logging() -> None:
    """Send events to standard error; silence the identifiers that pynetdicom and pydicom would log."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    logging.getLogger("delineate").setLevel(logging.WARNING if os.environ.get(QUIET) else logging.INFO)
    # A warning of pydicom quotes the value it warns of: to the logger "py.warnings", below the root's level.
    logging.captureWarnings(True)
    for library in ("pynetdicom", "pydicom", "dbos", "sqlalchemy"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def log_the_unexpected(stage: str) -> None:
    """Log what nobody caught, in any thread, by its type and place: its text may quote a patient."""
    log = EventLog(stage)

    def tell(error: BaseException | None) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt):
            log.failure("process.failed", error)

    sys.excepthook = lambda _type, error, _trace: tell(error)
    threading.excepthook = lambda found: tell(found.exc_value)
