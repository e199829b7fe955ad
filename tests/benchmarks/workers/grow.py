"""One size of CT: loading it, and contouring seven masks on it. Task: ``ct`` (folder), ``slices``, ``pixels``.

The masks are made as boxes: seven whole masks of a thousand slices would fill the memory by themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.pelvis_case import HOLLOW, SECTIONS, PelvisCase
from benchmarks.stopwatch import Stopwatch, resident_mib, work
from benchmarks.workers.write_ours import PROVENANCE, encode

from models.volume import Segmentation, StructureField
from service.contouring.ct_series import CtSeries


def job(task: dict[str, Any]) -> dict[str, Any]:
    case = PelvisCase(task["slices"], task["pixels"])
    fields = {name: _field(case, name) for name in SECTIONS}
    held = resident_mib()
    files = sorted(Path(task["ct"]).glob("*.dcm"))
    with Stopwatch() as load:
        series = CtSeries.read(files)
        volume = series.volume()
    del volume
    with Stopwatch() as write:
        encoded = encode(series, Segmentation(fields, PROVENANCE), HOLLOW)
    return {
        "load_seconds": load.figures["seconds"],
        "load_added_mib": load.figures["added_mib"],
        "write_seconds": write.figures["seconds"],
        "write_added_mib": write.figures["added_mib"],
        "bytes": len(encoded),
        "held_mib": held,
    }


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
