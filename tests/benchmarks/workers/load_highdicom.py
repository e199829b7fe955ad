"""highdicom: a CT folder to a volume of CT numbers. Task: ``ct`` (folder), ``repeat``, ``keep`` (npy)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
from benchmarks.stopwatch import repeated, work


def job(task: dict[str, Any]) -> dict[str, Any]:
    def read() -> highdicom.Volume:
        datasets = [pydicom.dcmread(file) for file in Path(task["ct"]).glob("*.dcm")]
        return highdicom.get_volume_from_series(datasets, dtype=np.float32)

    volume, figures = repeated(read, task["repeat"])
    if "keep" in task:  # right-handed: its slices descend
        np.save(task["keep"], volume.array[::-1] if volume.affine[2, 0] < 0 else volume.array)
    return figures


if __name__ == "__main__":
    work(job)
