"""Ours: a CT folder to a volume of CT numbers. Task: ``ct`` (folder), ``repeat``, ``keep`` (npy for the volume)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.stopwatch import repeated, work

from service.contouring.ct_series import CtSeries


def job(task: dict[str, Any]) -> dict[str, Any]:
    folder = Path(task["ct"])
    volume, figures = repeated(lambda: CtSeries.read(sorted(folder.glob("*.dcm"))).volume(), task["repeat"])
    if "keep" in task:
        np.save(task["keep"], volume.hu)
    return figures


if __name__ == "__main__":
    work(job)
