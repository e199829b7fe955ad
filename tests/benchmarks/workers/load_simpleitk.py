"""SimpleITK: a CT folder to a volume of CT numbers. Task: ``ct`` (folder), ``repeat``, ``keep`` (npy)."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from benchmarks.stopwatch import repeated, work


def job(task: dict[str, Any]) -> dict[str, Any]:
    def read() -> sitk.Image:
        return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(task["ct"]))

    image, figures = repeated(read, task["repeat"])
    if "keep" in task:
        np.save(task["keep"], sitk.GetArrayViewFromImage(image))
    return figures


if __name__ == "__main__":
    work(job)
