"""Where the CT of a job lies, whether its images are still there or not."""

from __future__ import annotations

from pathlib import Path

from service.backlog.records import Job
from service.contouring.ct_series import CtSeries, Limits
from service.dicom.ct_geometry import CtGeometry


def geometry_of(job: Job, folder: Path) -> CtGeometry:
    """As kept in the job's folder when it was contoured, else from the images.

    Raises:
        SeriesRefused: neither is there.
    """
    kept = CtGeometry.read(folder)
    return kept or CtSeries.read(job.files, limits=Limits(enhanced_ct=True)).geometry
