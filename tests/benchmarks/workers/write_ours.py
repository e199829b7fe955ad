"""Ours: masks in memory to an RTSTRUCT file.

Task: ``ct``, ``masks`` (folders), ``in_turn``, ``out`` (file), ``hollow`` (the structure that keeps its hole).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.case_files import masks_of
from benchmarks.stopwatch import Stopwatch, cpu_seconds, work

from models.volume import Provenance, Segmentation, StructureField
from service.contouring.contours import contours_of
from service.contouring.ct_series import CtSeries
from service.contouring.instance_modules import Authorship
from service.contouring.profiles import profile_named
from service.contouring.rt_structure_set import RtStructureSet
from service.contouring.structure_names import kept_holes, rois_named


@dataclass(frozen=True)
class Maker:
    """What made the set; the configuration's own would bring the whole configuration with it."""

    manufacturer: str = "Delineate"
    station_name: str = "DELINEATE"
    institution_name: str | None = None
    device_serial_number: str = "1"


AUTHORSHIP = Authorship("2.25.1", "2.25.2", datetime(2026, 1, 15, tzinfo=UTC), "pelvis", Maker(), "1")
PROVENANCE = Provenance("masks", "1", "0" * 64, validated=True)


def job(task: dict[str, Any]) -> dict[str, Any]:
    masks = masks_of(task)
    files = sorted(Path(task["ct"]).glob("*.dcm"))
    with Stopwatch() as watch:
        series = CtSeries.read(files)
        loaded = cpu_seconds()
        fields = {}
        for name, mask in masks:
            fields[name] = StructureField.of_mask(mask)
            del mask
        encoded = encode(series, Segmentation(fields, PROVENANCE), task["hollow"])
        Path(task["out"]).write_bytes(encoded)
        converting = cpu_seconds() - loaded
    return {**watch.figures, "convert_cpu_seconds": converting}


def encode(series: CtSeries, segmentation: Segmentation, hollow: str) -> bytes:
    """The structure set of fields, one of which keeps its hole."""
    rois = [replace(roi, keeps_holes=roi.structure == hollow) for roi in rois_named(segmentation.structures)]
    contours = contours_of(segmentation, series.grid, keep_holes=kept_holes(rois))
    profile = profile_named("generic")
    return RtStructureSet(series, contours, segmentation, rois, AUTHORSHIP, profile).encode()


if __name__ == "__main__":
    work(job)
