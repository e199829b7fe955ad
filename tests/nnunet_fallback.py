"""Adds a results folder and segments the phantom with it: ``python nnunet_fallback.py MODEL BUNDLE LABELS OUT``.

Runs where nnU-Net is installed, so that what our engine does not know goes to nnU-Net's own predictor. ``OUT`` then
holds a mask for each structure, and what the provenance says.
"""

import json
import sys
from pathlib import Path

import numpy as np
from nnunet_artefact import SHAPE, SPACING_ZYX_MM, phantom


def main(model, bundle, labels, out):
    """Everything from the folder to masks."""
    sys.path.append(str(Path(__file__).parents[1]))
    from models.adding.inspection import add
    from models.adding.new_bundle import Wish
    from models.predictor import Predictor
    from models.volume import CtVolume, Grid

    card = add(Wish(model, bundle, labels, {}, trust=False, told=print))
    dz, dy, dx = SPACING_ZYX_MM
    origins = np.zeros((SHAPE[0], 3))
    origins[:, 2] = np.arange(SHAPE[0]) * dz
    grid = Grid(origins, np.array([dx, 0.0, 0.0]), np.array([0.0, dy, 0.0]), *SHAPE[1:])
    found = Predictor(card, "cpu").segment(CtVolume(phantom(99)[0], grid))
    masks = {name: field.mask(SHAPE) for name, field in found.structures.items()}
    about = {"kind": card.kind, "runtime": found.provenance.runtime, "sha256": found.provenance.sha256}
    np.savez(out, about=json.dumps(about), **masks)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
