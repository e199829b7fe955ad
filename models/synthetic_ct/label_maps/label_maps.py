"""Label maps: organs that somebody drew on a CT which is not here, as NIfTI with the names of the labels.

A label map is a folder with ``label.nii.gz`` (one whole number a voxel, 0 where nothing was drawn) and
``labels.json`` (``{"labels": {"1": "Bladder", ...}, "source": ..., "licence": ...}``). Its grid may lie in
any direction: the array that is read runs to the patient's left, back and head.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data_sets.case_file import SIMPLE_NAME, DataSetInvalid
from models.volume import FloatArray

IMAGE, NAMES = "label.nii.gz", "labels.json"
_STRAIGHT = 1e-3  # radians within which a grid counts as straight
_LARGEST_TILT_DEGREES = 25.0


@dataclass(frozen=True, slots=True, repr=False)
class LabelMap:
    """One label map.

    Attributes:
        name: of its folder.
        labels: ``(z, y, x)`` x to the left, y to posterior, z to head; 0 where nothing was drawn.
        spacing_zyx_mm: ``(3,)``.
        origin_zyx_mm: ``(3,)`` of the first voxel, LPS.
        names: of the labels.
        licence: of the map, as its makers say it.
    """

    name: str
    labels: NDArray[np.uint8]
    spacing_zyx_mm: FloatArray
    origin_zyx_mm: FloatArray
    names: Mapping[int, str]
    licence: str = ""

    def where(self, *names: str) -> NDArray[np.bool_]:
        """True where one of the named labels is; no voxel for names that the map does not have."""
        wanted = {name.casefold() for name in names}
        return np.isin(self.labels, [n for n, name in self.names.items() if name.casefold() in wanted])


def label_map_folders(folder: Path) -> tuple[Path, ...]:
    """The label maps in a folder: itself if it is one, else those directly in it, by name.

    Raises:
        DataSetInvalid: ``labels.none``.
    """
    if (folder / IMAGE).is_file():
        return (folder,)
    found = tuple(sorted(one for one in folder.iterdir() if (one / IMAGE).is_file()))
    if not found:
        raise DataSetInvalid(
            "labels.none", f"The folder holds no label map: no {IMAGE} in it or in its folders."
        )
    return found


def read_label_map(folder: Path) -> LabelMap:
    """Read a label map and turn it to the patient's axes.

    Raises:
        DataSetInvalid: ``labels.unreadable``, ``labels.oblique`` or ``labels.unnamed``.
    """
    name = folder.resolve().name
    try:
        told = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        names = {int(number): str(label) for number, label in told["labels"].items()}
        labels, spacing, origin = _read_straight(folder / IMAGE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, DataSetInvalid):
            raise
        raise DataSetInvalid(
            "labels.unreadable",
            f"Label map {name} cannot be read: it takes {IMAGE} of whole numbers and their names in {NAMES}.",
        ) from error
    unnamed = sorted(set(np.unique(labels).tolist()) - {0, *names})
    if unnamed or not SIMPLE_NAME.fullmatch(name):
        raise DataSetInvalid(
            "labels.unnamed",
            f"Label map {name} has labels without a name in {NAMES}: {unnamed}."
            if unnamed
            else "The folder of a label map is called by letters, digits, - and _ only.",
        )
    return LabelMap(name, labels, spacing, origin, names, str(told.get("licence", "")))


def _read_straight(file: Path) -> tuple[NDArray[np.uint8], FloatArray, FloatArray]:
    """Array, spacing and origin (z, y, x) along the patient's axes; a slight tilt is resampled away."""
    import SimpleITK

    sitk: Any = SimpleITK
    image = sitk.DICOMOrient(sitk.ReadImage(str(file)), "LPS")
    if image.GetDimension() != 3 or "integer" not in image.GetPixelIDTypeAsString():
        message = "a label map is a volume of whole numbers"
        raise ValueError(message)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    tilt = float(np.abs(direction - np.eye(3)).max())
    if tilt > np.sin(np.radians(_LARGEST_TILT_DEGREES)):
        raise DataSetInvalid(
            "labels.oblique",
            f"A label map lies more than {_LARGEST_TILT_DEGREES:.0f} degrees off the patient's axes. "
            "Resample it along them.",
        )
    if tilt > _STRAIGHT:
        image = _resampled(image)
    values = sitk.GetArrayFromImage(image)
    if values.min() < 0 or values.max() > 255:
        message = "labels are 0 to 255"
        raise ValueError(message)
    spacing, origin = (np.array(v, float)[::-1] for v in (image.GetSpacing(), image.GetOrigin()))
    return values.astype(np.uint8), spacing, origin


def _resampled(image: Any) -> Any:  # noqa: ANN401 - SimpleITK has no types
    """The same labels on a straight grid of the same spacing that holds all of the tilted one."""
    import SimpleITK

    sitk: Any = SimpleITK

    spacing = np.array(image.GetSpacing())
    ends = [(0, n - 1) for n in image.GetSize()]
    corners = np.array(
        [image.TransformIndexToPhysicalPoint((x, y, z)) for x in ends[0] for y in ends[1] for z in ends[2]]
    )
    low, high = corners.min(0), corners.max(0)
    size = [int(n) for n in np.ceil((high - low) / spacing - 1e-6) + 1]
    straight = sitk.Image(size, image.GetPixelID())
    straight.SetSpacing(spacing.tolist())
    straight.SetOrigin(low.tolist())
    return sitk.Resample(image, straight, sitk.Transform(), sitk.sitkNearestNeighbor)
