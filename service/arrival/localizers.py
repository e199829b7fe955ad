"""Tells the slices of a CT from the localizers (scouts, topograms) that came in the same series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from service.arrival.attributes import values_of

# A localizer lies across the slices. A smaller angle is a wrong slice: it stays, and geometry refuses it.
_ACROSS_COSINE: Final = 0.7
_PARALLEL_COSINE: Final = 0.999


def separate(headers: Sequence[Dataset]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices of the slices and of the localizers.

    A localizer says so in ImageType (PS3.3 C.8.2.1.1.1), or its plane lies across the plane that more than
    half of the others share. Without such a majority nothing is taken out.
    """
    localizers = {index for index, header in enumerate(headers) if _says_localizer(header)}
    normals = {
        index: normal
        for index, header in enumerate(headers)
        if index not in localizers and (normal := _normal(header)) is not None
    }
    if normals:
        stacked = np.stack(list(normals.values()))
        parallel = np.abs(stacked @ stacked.T) > _ACROSS_COSINE
        largest = int(parallel.sum(axis=1).argmax())
        if parallel[largest].sum() * 2 > len(normals):
            localizers |= {index for index, same in zip(normals, parallel[largest], strict=True) if not same}
    slices = tuple(index for index in range(len(headers)) if index not in localizers)
    return slices, tuple(sorted(localizers))


def like_slices(headers: Sequence[Dataset], slices: Sequence[int], localizers: Sequence[int]) -> int:
    """How many localizers lie as the first slice does: a scout is seen from another side."""
    normals = [normal for index in slices[:1] if (normal := _normal(headers[index])) is not None]
    return sum(
        1
        for index in localizers
        if normals and (own := _normal(headers[index])) is not None
        if abs(float(own @ normals[0])) > _PARALLEL_COSINE
    )


def _says_localizer(header: Dataset) -> bool:
    return "LOCALIZER" in (value.upper() for value in values_of(header, "ImageType") or ())


def _normal(header: Dataset) -> NDArray[np.float64] | None:
    """Unit normal of the image plane; None if the header has no usable orientation."""
    try:
        cosines = np.asarray([float(text) for text in values_of(header, "ImageOrientationPatient") or ()])
    except ValueError:
        return None
    if cosines.shape != (6,) or not np.isfinite(cosines).all():
        return None
    normal = np.cross(cosines[:3], cosines[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0.1 else None
