"""Reads NIfTI strictly: a file that does not say where its voxels lie, or says two things, is refused.

NIfTI-1 and NIfTI-2 (nifti1.h, nifti2.h) hold up to two transforms to millimetres (RAS), qform (a rotation)
and sform (any affine), each with a code; code 0 means that it is not there. Without either nobody knows left
from right. Read here and not by SimpleITK, which takes what is missing at the end of a file, and voxels that
are no number, for 0 without a word.
"""

from __future__ import annotations

import gzip
import itertools
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from models.volume import FloatArray, Grid
from service.errors import SeriesRefused

VOXELS: Final = 1 << 30
"""Of one image, at most."""

_SAME_MM: Final = 0.1
_SQUARE: Final = 1e-3
_TO_LPS: Final = np.diag([-1.0, -1.0, 1.0])
_TYPES: Final = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip

_Field = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the fields of a header lie, and of which type they are."""

    size: int
    magic: tuple[bytes, int]
    datatype: _Field
    dim: _Field
    pixdim: _Field
    offset: _Field
    scaling: _Field
    codes: _Field
    qform: _Field
    sform: _Field


_LAYOUTS: Final = (
    _Layout(
        348, (b"n+1\0", 344), ("h", 70), ("8h", 40), ("8f", 76), ("f", 108), ("2f", 112), ("2h", 252),
        ("6f", 256), ("12f", 280),
    ),
    _Layout(
        540, (b"n+2\0", 4), ("h", 12), ("8q", 16), ("8d", 104), ("q", 168), ("2d", 176), ("2i", 344),
        ("6d", 352), ("12d", 400),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class NiftiImage:
    """One volume.

    Attributes:
        values: ``(slices, rows, columns)``, scaled as the file says; slices ascend along the grid's normal.
        grid: where the voxels are, LPS mm.
    """

    values: NDArray[Any]
    grid: Grid


def read_nifti(file: Path) -> NiftiImage:
    """Read a file of one volume.

    Raises:
        SeriesRefused: ``nifti.unreadable``, ``nifti.not-3d``, ``nifti.too-large``, ``nifti.no-orientation``,
            ``nifti.two-orientations``, ``nifti.sheared`` or ``nifti.not-finite``.
    """
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            return _read(stream)  # type: ignore[arg-type] # GzipFile is a BinaryIO
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise _unreadable() from error


def _read(stream: BinaryIO) -> NiftiImage:
    head = stream.read(_LAYOUTS[0].size)
    head += stream.read(_LAYOUTS[-1].size - len(head)) if _size(head) == _LAYOUTS[-1].size else b""
    order, layout = _layout(head)

    def field(one: _Field) -> tuple[Any, ...]:
        return struct.unpack_from(order + one[0], head, one[1])

    columns, rows, slices = _shape(field(layout.dim))
    affine = _TO_LPS @ _transform(field, layout, (columns, rows, slices))
    stored = np.dtype(order + _TYPES.get(field(layout.datatype)[0], "V"))
    count = columns * rows * slices
    stream.read(int(field(layout.offset)[0]) - len(head))
    content = stream.read(count * stored.itemsize)
    stream.read(1)  # at the end of a compressed file its check sum is compared
    if stored.kind == "V" or len(content) != count * stored.itemsize:
        raise _unreadable()
    values = _scaled(np.frombuffer(content, stored).reshape(slices, rows, columns), *field(layout.scaling))
    if not np.isfinite(values).all():
        raise SeriesRefused("nifti.not-finite", "Some voxels of the image are no numbers.")
    step = affine[:, 2]
    k = np.arange(slices)
    if np.linalg.det(affine[:, :3]) < 0:
        values, k = values[::-1], k[::-1]
    origins = affine[:, 3] + k[:, None] * step
    return NiftiImage(
        np.ascontiguousarray(values), Grid(origins, affine[:, 0].copy(), affine[:, 1].copy(), rows, columns)
    )


def _size(head: bytes) -> int:
    """Length of the header, in either byte order."""
    known = {layout.size for layout in _LAYOUTS}
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    return next(iter(known & sizes), 0)


def _layout(head: bytes) -> tuple[str, _Layout]:
    for layout in _LAYOUTS:
        magic, at = layout.magic
        if len(head) >= layout.size and head[at : at + 4] == magic:
            for order in "<>":
                if struct.unpack_from(f"{order}i", head)[0] == layout.size:
                    return order, layout
    raise _unreadable()


def _shape(dim: tuple[int, ...]) -> tuple[int, int, int]:
    volumes = int(np.prod(dim[4 : dim[0] + 1])) if 3 < dim[0] <= 7 else 1
    if not 3 <= dim[0] <= 7 or volumes != 1 or min(dim[1:4]) < 1:
        raise SeriesRefused("nifti.not-3d", "The file does not hold one volume. Give one volume a file.")
    if dim[1] * dim[2] * dim[3] > VOXELS:
        raise SeriesRefused("nifti.too-large", f"{dim[1]} x {dim[2]} x {dim[3]} voxels are too many.")
    return dim[1], dim[2], dim[3]


def _transform(field: Any, layout: _Layout, shape: tuple[int, int, int]) -> FloatArray:  # noqa: ANN401
    """``(3, 4)`` from column, row and slice to RAS mm."""
    qform_code, sform_code = field(layout.codes)
    found: list[FloatArray] = []
    if sform_code > 0:
        found.append(np.array(field(layout.sform)).reshape(3, 4))
    if qform_code > 0:
        found.append(_qform(field(layout.qform), field(layout.pixdim)))
    if not found:
        raise SeriesRefused(
            "nifti.no-orientation",
            "The file does not say how the patient lies (qform and sform codes are 0): left and right are "
            "not guessed. Convert the CT again.",
        )
    corners = np.array([(*c, 1.0) for c in itertools.product(*((0.0, n - 1.0) for n in shape))])
    places = [corners @ transform.T for transform in found]
    if not np.abs(places[0] - places[-1]).max() <= _SAME_MM:
        raise SeriesRefused(
            "nifti.two-orientations",
            "qform and sform of the file place its voxels differently. Convert the CT again.",
        )
    lengths = np.linalg.norm(found[0][:, :3], axis=0)
    if not (lengths > 0).all():
        raise _unreadable()
    axes = found[0][:, :3] / lengths
    if not np.abs(axes.T @ axes - np.eye(3)).max() <= _SQUARE:
        raise SeriesRefused(
            "nifti.sheared", "The image's axes are not perpendicular (gantry tilt). Give a CT without tilt."
        )
    return found[0]


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


def _scaled(values: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Value = slope x stored + intercept; a slope of 0 says that there is no scaling."""
    if slope in (0, 1) and (slope == 0 or intercept == 0):
        return values
    return values.astype(np.float64) * slope + intercept


def _unreadable() -> SeriesRefused:
    return SeriesRefused(
        "nifti.unreadable", "The file cannot be read whole as NIfTI. Convert or copy the CT again."
    )
