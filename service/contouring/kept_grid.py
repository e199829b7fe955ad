"""The grid of a job's CT, whether its images are still there or not."""

from __future__ import annotations

from pathlib import Path

from models.volume import Grid
from service.backlog.records import Job
from service.contouring.ct_series import CtSeries, Limits
from service.dicom.ct_geometry import read_grid


def grid_of(job: Job, folder: Path) -> Grid:
    """As kept in the job's folder when it was contoured, else from the images.

    Raises:
        SeriesRefused: neither is there.
    """
    kept = read_grid(folder)
    return kept or CtSeries.read(job.files, limits=Limits(enhanced_ct=True)).grid
