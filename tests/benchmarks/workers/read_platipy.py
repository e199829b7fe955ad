"""platipy: an RTSTRUCT file to masks. Task: ``ct`` (folder), ``rtstruct`` (file), ``keep`` (npz for the masks).

The parts of its ``convert_rtstruct`` that read, without the files that this writes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from benchmarks.stopwatch import Stopwatch, work
from platipy.dicom.io.rtstruct_to_nifti import (
    read_dicom_image,
    read_dicom_struct_file,
    transform_point_set_from_dicom_struct,
)


def job(task: dict[str, Any]) -> dict[str, Any]:
    with Stopwatch() as watch:
        image = read_dicom_image(task["ct"])
        structures = read_dicom_struct_file(task["rtstruct"])
        found, names = transform_point_set_from_dicom_struct(image, structures)
    if "keep" in task:
        np.savez(
            task["keep"], **dict(zip(names, (sitk.GetArrayFromImage(one) > 0 for one in found), strict=True))
        )
    return watch.figures


if __name__ == "__main__":
    work(job)
