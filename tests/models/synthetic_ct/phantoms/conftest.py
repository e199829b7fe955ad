"""Grids around a phantom's organs."""

from __future__ import annotations

import numpy as np

from models.synthetic_ct.phantoms.phantom import PelvicPhantom
from models.volume import Grid


def box_grid(phantom: PelvicPhantom, centre_mm: np.ndarray, half_mm: np.ndarray, spacing_mm: float) -> Grid:
    """Axial slices of a box about a point given in the phantom's own frame."""
    count = np.ceil(2 * half_mm / spacing_mm).astype(int)
    corner = phantom.origin_lps_mm + centre_mm - (count - 1) / 2 * spacing_mm
    origins = corner + np.outer(np.arange(count[2]) * spacing_mm, (0.0, 0.0, 1.0))
    steps = np.eye(3) * spacing_mm
    return Grid(origins, steps[0], steps[1], int(count[1]), int(count[0]))
