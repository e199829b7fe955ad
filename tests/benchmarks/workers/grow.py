"""One size of CT: loading it, and contouring seven masks on it. Task: ``ct`` (folder), ``slices``,
``pixels``, ``slice_mm``.

The masks are made as boxes: seven whole masks of a thousand slices would fill the memory by themselves.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.pelvis_case import HOLLOW, SECTIONS, PelvisCase
from benchmarks.stopwatch import MIB, Stopwatch, repeated, work
from benchmarks.workers.write_ours import PROVENANCE, encode

from models.volume import Segmentation, StructureField
from service.contouring.ct_series import CtSeries


def job(task: dict[str, Any]) -> dict[str, Any]:
    case = PelvisCase(task["slices"], task["pixels"], task["slice_mm"])
    fields = {name: _field(case, name) for name in SECTIONS}
    files = sorted(Path(task["ct"]).glob("*.dcm"))
    series = CtSeries.read(files)
    segmentation = Segmentation(fields, PROVENANCE)
    with Stopwatch() as write:
        encode(series, segmentation, HOLLOW)
    # A few megabytes: less than the allocator keeps, so they are counted where they are asked for.
    tracemalloc.start()
    encode(series, segmentation, HOLLOW)
    held_mib = tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()
    # Several times: the first volume waits for the system to gather half a gigabyte of large pages.
    _, load = repeated(lambda: CtSeries.read(files).volume(), 3)
    of_load = {f"load_{key}": value for key, value in load.items()}
    of_write = {f"write_{key}": value for key, value in write.figures.items()}
    return of_load | of_write | {"write_added_mib": held_mib}


def _field(case: PelvisCase, name: str) -> StructureField:
    """The mask's box, made without the whole mask."""
    drawn = list(case.depths(name))
    low = np.array([(k, rows.start, columns.start) for k, rows, columns, _ in drawn]).min(axis=0)
    high = np.array([(k + 1, rows.stop, columns.stop) for k, rows, columns, _ in drawn]).max(axis=0)
    box = np.zeros(high - low, dtype=np.bool_)
    for k, rows, columns, depth in drawn:
        at = (
            slice(rows.start - low[1], rows.stop - low[1]),
            slice(columns.start - low[2], columns.stop - low[2]),
        )
        box[k - low[0]][at] = depth > 0
    found = StructureField.of_mask(box)
    z, y, x = (int(a) + int(b) for a, b in zip(low, found.corner_zyx, strict=True))
    return StructureField(found.field, (z, y, x), from_mask=True)


if __name__ == "__main__":
    work(job)
