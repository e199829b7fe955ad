"""TotalSegmentator's writer: masks in memory to an RTSTRUCT file. Task: ``ct``, ``masks`` (folders), ``out``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.case_files import masks_of
from benchmarks.stopwatch import Stopwatch, work
from totalsegmentator.dicom_io import save_mask_as_rtstruct


def job(task: dict[str, Any]) -> dict[str, Any]:
    masks = dict(masks_of(task))
    first = next(iter(masks.values()))
    labels = np.zeros(first.shape[::-1], np.uint8)  # (columns, rows, slices), as its NIfTI images are
    for number, mask in enumerate(masks.values(), start=1):
        labels[mask.transpose(2, 1, 0)] = number
    names = dict(enumerate(masks, start=1))
    del masks
    with Stopwatch() as watch:
        save_mask_as_rtstruct(labels, names, task["ct"], Path(task["out"]))
    return dict(watch.figures)


if __name__ == "__main__":
    work(job)
