"""The marks of the commissioning phantom as an RT Structure Set, by the writer that makes patients' sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from models.volume import Provenance, Segmentation
from service.config.site import Equipment
from service.contouring.contours import contours_of
from service.contouring.ct_series import CtSeries
from service.contouring.instance_modules import Authorship
from service.contouring.profiles import profile_named
from service.contouring.read_back import check
from service.contouring.rt_structure_set import RtStructureSet
from service.contouring.structure_names import kept_holes, rois_named
from service.dicom import commissioning_phantom
from service.dicom.commissioning_phantom import Mark, mark_field
from service.dicom.uids import derived_uid


def marks_as_structure_set(files: Sequence[Path], marks: Sequence[Mark], key: str) -> bytes:
    """The encoded structure set of the marks, read back and compared.

    Args:
        files: the phantom's images.
        marks: what is drawn on them.
        key: stands for this phantom alone; the same key gives the same UIDs.

    Raises:
        StructureSetInvalid: what was written does not say what the marks are.
    """
    series = CtSeries.read(files)
    segmentation = Segmentation(
        structures={mark.name: mark_field(series.grid, mark) for mark in marks},
        provenance=Provenance(
            model="phantom-marks",
            version=commissioning_phantom.VERSION,
            sha256=hashlib.sha256(Path(commissioning_phantom.__file__).read_bytes()).hexdigest(),
            validated=False,
        ),
    )
    rois = rois_named(mark.name for mark in marks)
    authorship = Authorship(
        sop_instance_uid=derived_uid("2.25", key, "instance"),
        series_instance_uid=derived_uid("2.25", key, "series"),
        made_at=datetime(2025, 1, 2, 10, 15, tzinfo=UTC),
        label="Phantom marks",
        equipment=Equipment(),
        software_version=version("delineate"),
        series_description="Phantom marks",
        notes=series.notes,
    )
    contours = contours_of(segmentation, series.grid, keep_holes=kept_holes(rois))
    made = RtStructureSet(series, contours, segmentation, rois, authorship, profile_named("generic"))
    encoded = made.encode()
    check(encoded, segmentation, series, rois)
    return encoded
