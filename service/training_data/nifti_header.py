"""Where a NIfTI file says that its voxels lie; a file that does not say it, or says two things, is refused.

NIfTI-1 and NIfTI-2 hold up to two transforms to millimetres, qform (a rotation) and sform (any affine), each
with a code; code 0 means that it is not there. Without either nobody knows left from right
(nifti.nimh.nih.gov, nifti1.h, methods 1 to 3).
"""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.volume import FloatArray
from service.errors import SeriesRefused

_SAME_MM: Final = 0.1
_SQUARE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the fields are: dim, pixdim, codes, the quaternion and offset, the rows of the sform."""

    size: int
    dim: tuple[str, int]
    pixdim: tuple[str, int]
    codes: tuple[str, int]
    qform: tuple[str, int]
    sform: tuple[str, int]


_LAYOUTS: Final = (
    _Layout(348, ("8h", 40), ("8f", 76), ("2h", 252), ("6f", 256), ("12f", 280)),
    _Layout(540, ("8q", 16), ("8d", 104), ("2i", 344), ("6d", 352), ("12d", 400)),
)


def refuse_unclear_orientation(file: Path) -> None:
    """Refuse a file whose voxels nobody can place.

    Raises:
        SeriesRefused: ``nifti.unreadable``, ``nifti.not-3d``, ``nifti.no-orientation``,
            ``nifti.two-orientations`` or ``nifti.sheared``.
    """
    content = _head(file)
    order, layout = _layout(content)

    def values(field: tuple[str, int]) -> tuple[float, ...]:
        return struct.unpack_from(order + field[0], content, field[1])

    shape = values(layout.dim)
    if shape[0] != 3:
        raise SeriesRefused(
            "nifti.not-3d", f"The image has {shape[0]:g} dimensions, not 3. Give one volume a file."
        )
    qform_code, sform_code = values(layout.codes)
    transforms: list[FloatArray] = []
    if qform_code > 0:
        transforms.append(_qform(values(layout.qform), values(layout.pixdim)))
    if sform_code > 0:
        transforms.append(np.array(values(layout.sform)).reshape(3, 4))
    if not transforms:
        raise SeriesRefused(
            "nifti.no-orientation",
            "The file does not say how the patient lies (qform and sform codes are 0): left and right are "
            "not guessed. Convert the CT again.",
        )
    corners = np.array([(*c, 1.0) for c in itertools.product(*((0.0, n - 1) for n in shape[1:4]))])
    places = [corners @ transform.T for transform in transforms]
    if np.abs(places[0] - places[-1]).max() > _SAME_MM:
        raise SeriesRefused(
            "nifti.two-orientations",
            "qform and sform of the file place its voxels differently. Convert the CT again.",
        )
    axes = transforms[-1][:, :3] / np.linalg.norm(transforms[-1][:, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SQUARE:
        raise SeriesRefused(
            "nifti.sheared", "The image's axes are not perpendicular (gantry tilt). Give a CT without tilt."
        )


def _head(file: Path) -> bytes:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            return stream.read(_LAYOUTS[-1].size)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable() from error


def _layout(content: bytes) -> tuple[str, _Layout]:
    for layout in _LAYOUTS:
        for order in "<>":
            if len(content) >= layout.size and struct.unpack_from(f"{order}i", content)[0] == layout.size:
                return order, layout
    raise _unreadable()


def _unreadable() -> SeriesRefused:
    return SeriesRefused("nifti.unreadable", "The file cannot be read as NIfTI. Convert the CT again.")


def _qform(quaternion: tuple[float, ...], pixdim: tuple[float, ...]) -> FloatArray:
    """``(3, 4)`` from the quaternion's b, c, d, the offsets and the voxel sizes (nifti1.h, method 2)."""
    b, c, d, *offset = quaternion
    a = max(0.0, 1.0 - (b * b + c * c + d * d)) ** 0.5
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = -1.0 if pixdim[0] < 0 else 1.0
    return np.column_stack([rotation * (pixdim[1], pixdim[2], pixdim[3] * handed), offset])
