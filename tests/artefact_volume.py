"""The CT that models made from :mod:`nnunet_artefact`'s phantoms are tried on: one that none of them has seen."""

from __future__ import annotations

import nnunet_artefact
import numpy as np

from models.volume import CtVolume, Grid


def phantom_volume() -> CtVolume:
    """Phantom 99, its slices from the feet upwards."""
    dz, dy, dx = nnunet_artefact.SPACING_ZYX_MM
    slices, rows, columns = nnunet_artefact.SHAPE
    origins = np.zeros((slices, 3))
    origins[:, 2] = np.arange(slices) * dz
    grid = Grid(origins, np.array([dx, 0.0, 0.0]), np.array([0.0, dy, 0.0]), rows, columns)
    return CtVolume(nnunet_artefact.phantom(99)[0], grid)
