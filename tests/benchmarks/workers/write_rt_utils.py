"""rt-utils: masks in memory to an RTSTRUCT file. Task: ``ct``, ``masks`` (folders), ``in_turn``, ``out``."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.case_files import masks_of
from benchmarks.stopwatch import Stopwatch, cpu_seconds, work
from rt_utils import RTStructBuilder


def job(task: dict[str, Any]) -> dict[str, Any]:
    masks = masks_of(task)
    with Stopwatch() as watch:
        made = RTStructBuilder.create_new(task["ct"])
        loaded = cpu_seconds()
        for name, mask in masks:
            # A view: it takes (rows, columns, slices), and is five times slower on a copy in that order.
            made.add_roi(mask=np.moveaxis(mask, 0, -1), name=name)
            del mask
        made.save(task["out"])
        converting = cpu_seconds() - loaded
    return {**watch.figures, "convert_cpu_seconds": converting}


if __name__ == "__main__":
    work(job)
