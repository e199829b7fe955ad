"""Nothing but the files' bytes into memory that is kept: the limit. Task: ``ct`` (folder), ``repeat``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import repeated, work


def job(task: dict[str, Any]) -> dict[str, Any]:
    folder = Path(task["ct"])

    def read() -> bytearray:
        files = sorted(folder.glob("*.dcm"))
        whole = bytearray(sum(file.stat().st_size for file in files))
        view, at = memoryview(whole), 0
        for file in files:
            descriptor = os.open(file, os.O_RDONLY)
            at += os.readv(descriptor, [view[at:]])
            os.close(descriptor)
        return whole

    return repeated(read, task["repeat"])[1]


if __name__ == "__main__":
    work(job)
