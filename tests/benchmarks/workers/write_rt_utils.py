"""rt-utils: masks in memory to an RTSTRUCT file. Task: ``ct``, ``masks`` (folders), ``out`` (file)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.stopwatch import Stopwatch, cpu_seconds, work
from rt_utils import RTStructBuilder


def job(task: dict[str, Any]) -> dict[str, Any]:
    masks = {file.stem: np.load(file) for file in sorted(Path(task["masks"]).glob("*.npy"))}
    with Stopwatch() as watch:
        made = RTStructBuilder.create_new(task["ct"])
        loaded = cpu_seconds()
        for name, mask in masks.items():
            # A view: it takes (rows, columns, slices), and is five times slower on a copy in that order.
            made.add_roi(mask=np.moveaxis(mask, 0, -1), name=name)
        made.save(task["out"])
        converting = cpu_seconds() - loaded
    return {**watch.figures, "convert_cpu_seconds": converting}


if __name__ == "__main__":
    work(job)
