"""Ours: fields in memory to one of the other objects. Task: ``ct``, ``masks`` (folders), ``kind``, ``out`` (file)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.case_files import masks_of
from benchmarks.stopwatch import Stopwatch, work
from benchmarks.workers.write_ours import AUTHORSHIP, PROVENANCE

from models.volume import Segmentation, StructureField
from service.contouring.ct_series import CtSeries
from service.contouring.nifti_masks import write_nifti
from service.contouring.preview_objects import PreviewImage, PreviewPdf
from service.contouring.preview_pages import pdf_of, pictures_of
from service.contouring.segmentation_object import SegmentationObject
from service.contouring.structure_names import rois_named
from service.dicom.structure_set_reader import read_structure_set


def job(task: dict[str, Any]) -> dict[str, Any]:
    series = CtSeries.read(sorted(Path(task["ct"]).glob("*.dcm")))
    fields = {name: StructureField.of_mask(mask) for name, mask in masks_of({**task, "in_turn": True})}
    found = Segmentation(fields, PROVENANCE)
    what = (series, found, rois_named(fields), AUTHORSHIP)
    out, kind = Path(task["out"]), task["kind"]
    shown = read_structure_set(Path(task["structure_set"])) if "structure_set" in task else None
    with Stopwatch() as watch:
        if kind == "nifti":
            write_nifti(out, *what, by_structure=False)
        elif kind == "preview":
            out.write_bytes(
                PreviewImage(series, AUTHORSHIP, shown.header, pictures_of(series, shown)).encode()
            )
        elif kind == "preview-pdf":
            out.write_bytes(PreviewPdf(series, AUTHORSHIP, shown.header, pdf_of(series, shown)).encode())
        else:
            out.write_bytes(SegmentationObject(*what, label_map=kind == "segmentation-labelmap").encode())
    return watch.figures


if __name__ == "__main__":
    work(job)
