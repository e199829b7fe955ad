"""One node for each storage folder; on each host one, where several share it."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from service.errors import NodeError

if TYPE_CHECKING:
    from pathlib import Path


class AlreadyRunning(NodeError):
    """Another node has this storage folder."""


def take_storage_lock(storage: Path) -> int:
    """Lock the folder for this process; the lock goes with the descriptor, and with the process if it dies.

    Raises:
        AlreadyRunning: another process has it.
    """
    storage.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(storage / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        sentence = (
            "A node is running already in this storage folder. Stop it first, or give this one another."
        )
        raise AlreadyRunning("node.already-running", sentence) from None
    return descriptor
