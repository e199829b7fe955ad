"""pydicom as its users write it: read, sort, decode, rescale. Task: ``ct`` (folder), ``repeat``, ``keep`` (npy)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from benchmarks.stopwatch import repeated, work


def job(task: dict[str, Any]) -> dict[str, Any]:
    def read() -> np.ndarray:
        slices = [pydicom.dcmread(file) for file in Path(task["ct"]).glob("*.dcm")]
        slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
        volume = np.empty((len(slices), slices[0].Rows, slices[0].Columns), dtype=np.int16)
        for k, ds in enumerate(slices):
            volume[k] = ds.pixel_array * int(ds.RescaleSlope) + int(ds.RescaleIntercept)
        return volume

    volume, figures = repeated(read, task["repeat"])
    if "keep" in task:
        np.save(task["keep"], volume)
    return figures


if __name__ == "__main__":
    work(job)
