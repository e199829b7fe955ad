"""DicomRTTool: masks in memory to an RTSTRUCT file. Task: ``ct``, ``masks`` (folders), ``out`` (file)."""

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
    files = sorted(Path(task["masks"]).glob("*.npy"))
    first = np.load(files[0])
    # Its own form: one channel a structure, the first one the background.
    masks = np.zeros((*first.shape, len(files) + 1), dtype=np.int8)
    for channel, file in enumerate(files, 1):
        masks[..., channel] = np.load(file)
    del first
    with tempfile.TemporaryDirectory() as scratch, Stopwatch() as watch:
        made = DicomReaderWriter(description="benchmark", verbose=False)
        made.walk_through_folders(task["ct"])
        made.set_index(0)
        made.get_images()
        loaded = cpu_seconds()
        made.prediction_array_to_RT(masks, scratch, [file.stem for file in files])
        converting = cpu_seconds() - loaded
        (written,) = Path(scratch).glob("*.dcm")
        written.rename(task["out"])
    return {**watch.figures, "convert_cpu_seconds": converting}


if __name__ == "__main__":
    work(job)
