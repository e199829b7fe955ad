"""rt-utils: an RTSTRUCT file to masks. Task: ``ct`` (folder), ``rtstruct`` (file), ``keep`` (npz for the masks)."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.stopwatch import Stopwatch, cpu_seconds, work
from rt_utils import RTStructBuilder


def job(task: dict[str, Any]) -> dict[str, Any]:
    with Stopwatch() as watch:
        found = RTStructBuilder.create_from(task["ct"], task["rtstruct"])
        loaded = cpu_seconds()
        masks = {name: np.moveaxis(found.get_roi_mask_by_name(name), -1, 0) for name in found.get_roi_names()}
        converting = cpu_seconds() - loaded
    if "keep" in task:
        np.savez(task["keep"], **masks)
    return {**watch.figures, "convert_cpu_seconds": converting}


if __name__ == "__main__":
    work(job)
