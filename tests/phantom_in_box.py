"""Phantoms as templates and as label maps, coarse enough to be made within a second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from models.synthetic_ct.label_maps.label_maps import LabelMap
from models.synthetic_ct.label_maps.patient_box import BOX_ZYX, HEADS_IN_BOX_ZYX_MM
from models.synthetic_ct.phantoms.phantom import PelvicPhantom, pelvic_phantom
from models.synthetic_ct.tissues.tissue_maps import TissueMap
from models.volume import FloatArray, Grid


def in_box(patient: PelvicPhantom, heads_lps_mm: FloatArray) -> np.ndarray:
    """The phantom's tissues in the box of a tissue map, sampled at 4 mm and doubled."""
    slices, rows, columns = ((n + 1) // 2 for n in BOX_ZYX)
    corner = heads_lps_mm - HEADS_IN_BOX_ZYX_MM[::-1] + 1.0
    origins = corner + np.outer(np.arange(slices) * 4.0, (0.0, 0.0, 1.0))
    steps = np.eye(3) * 4.0
    tissue = patient.sample(Grid(origins, steps[0], steps[1], rows, columns), noise=False).tissue
    for axis, n in enumerate(BOX_ZYX):
        tissue = tissue.repeat(2, axis).take(range(n), axis)
    return tissue


def template_of(seed: int) -> TissueMap:
    """The phantom of a seed as a template called ``other``."""
    patient = pelvic_phantom(seed, couch=False)
    return TissueMap("other", in_box(patient, patient.origin_lps_mm))


def drawn_map(patient: PelvicPhantom, names: tuple[str, ...]) -> LabelMap:
    """What somebody drew: some organs, slices 4 mm apart, from the thighs to the kidneys."""
    low = patient.origin_lps_mm - (216.0, 160.0, 126.0)
    origins = low + np.outer(np.arange(94) * 4.0, (0.0, 0.0, 1.0))
    grid = Grid(origins, np.array([3.0, 0, 0]), np.array([0, 3.0, 0]), 107, 145)
    sample = patient.sample(grid, noise=False)
    labels = np.zeros(grid.shape_zyx, np.uint8)
    for number, name in enumerate(names, start=1):
        labels[sample.mask(name)] = number
    return LabelMap("case", labels, np.array([4.0, 3.0, 3.0]), low[::-1], dict(enumerate(names, start=1)))


def write_label_map(folder: Path, drawn: LabelMap, code: str = "LPI") -> None:
    """As NIfTI whose axes run as ``code`` says, and the names beside it."""
    image = sitk.GetImageFromArray(drawn.labels)
    image.SetSpacing(drawn.spacing_zyx_mm[::-1].tolist())
    image.SetOrigin(drawn.origin_zyx_mm[::-1].tolist())
    folder.mkdir(parents=True)
    sitk.WriteImage(sitk.DICOMOrient(image, code), str(folder / "label.nii.gz"))
    told = {"labels": {str(n): name for n, name in drawn.names.items()}, "licence": "CC0"}
    (folder / "labels.json").write_text(json.dumps(told))
