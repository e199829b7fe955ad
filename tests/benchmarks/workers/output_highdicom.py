"""highdicom as its documentation has it: an array of all structures. Task: ``ct``, ``masks``, ``kind``, ``out``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
from benchmarks.case_files import masks_of
from benchmarks.stopwatch import Stopwatch, work
from pydicom.sr.codedict import codes


def job(task: dict[str, Any]) -> dict[str, Any]:
    images = [pydicom.dcmread(file, stop_before_pixels=True) for file in Path(task["ct"]).glob("*.dcm")]
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    masks = dict(masks_of(task))
    with Stopwatch() as watch:
        algorithm = highdicom.AlgorithmIdentificationSequence(
            "masks", codes.cid7162.ArtificialIntelligence, "1"
        )
        descriptions = [
            highdicom.seg.SegmentDescription(
                number, name, codes.SCT.Organ, codes.SCT.Organ, "AUTOMATIC", algorithm
            )
            for number, name in enumerate(masks, 1)
        ]
        if task["kind"] == "segmentation-labelmap":
            array = np.zeros(next(iter(masks.values())).shape, np.uint8)
            for number in sorted(range(1, len(masks) + 1), key=lambda n: -list(masks.values())[n - 1].sum()):
                array[list(masks.values())[number - 1]] = number
        else:
            array = np.stack(list(masks.values()), axis=-1)
        made = highdicom.seg.Segmentation(
            images, array, "LABELMAP" if task["kind"] == "segmentation-labelmap" else "BINARY", descriptions,
            "2.25.2", 1, "2.25.1", 1, "m", "m", "1", "1",
        )  # fmt: skip
        made.save_as(task["out"])
    return watch.figures


if __name__ == "__main__":
    work(job)
