"""DicomRTTool: an RTSTRUCT file to masks. Task: ``ct`` (folder), ``rtstruct`` (file), ``names``, ``keep`` (npz)."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.stopwatch import Stopwatch, cpu_seconds, work
from DicomRTTool.ReaderWriter import DicomReaderWriter

logging.disable(logging.WARNING)


def job(task: dict[str, Any]) -> dict[str, Any]:
    names = task["names"]
    with tempfile.TemporaryDirectory() as together:  # it takes one folder that holds images and structure set
        for file in [*Path(task["ct"]).glob("*.dcm"), Path(task["rtstruct"])]:
            (Path(together) / file.name).symlink_to(file.resolve())
        with Stopwatch() as watch:
            found = DicomReaderWriter(
                description="benchmark",
                Contour_Names=[name.lower() for name in names],
                arg_max=False,
                verbose=False,
            )
            found.walk_through_folders(together)
            found.set_index(found.indexes_with_contours[0])
            found.get_images()
            loaded = cpu_seconds()
            found.get_mask()
            converting = cpu_seconds() - loaded
    if "keep" in task:
        np.savez(task["keep"], **{name: found.mask[..., at] > 0 for at, name in enumerate(names, 1)})
    return {**watch.figures, "convert_cpu_seconds": converting}


if __name__ == "__main__":
    work(job)
