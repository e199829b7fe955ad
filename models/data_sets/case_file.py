"""One case of a data set, a CT with what is drawn on it, and the file that holds it.

The file is an npz without pickles: ``hu`` int16 ``(z, y, x)``, the grid's ``slice_origins_lps_mm``,
``column_step_lps_mm`` and ``row_step_lps_mm``, ``structures`` (names), and ``masks``: one row of bits a
structure, the voxels in C order, eight a byte, first voxel in the highest bit (``numpy.packbits``).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from models.data_sets.packed_masks import PackedMasks
from models.volume import CtVolume, Grid

SIMPLE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What a case and a patient may be called: the name becomes a file name."""

_COMPRESSION: Final = 1
"""Higher levels cost seconds a case and save a few percent of CT noise."""

_READ_ERRORS: Final = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


class DataSetInvalid(ValueError):
    """A data set cannot be used or written; ``code`` is stable, the message is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """One CT with what is drawn on it.

    Attributes:
        name: ``p0001-1``; holds no patient data.
        patient: ``p0001``; all cases of a patient are in one part.
        volume: on the CT's own grid, in any orientation, never resampled.
        masks: ``(z, y, x)`` by structure, on that grid; they may overlap. A structure that is no key is
            UNKNOWN here (nobody drew it); a mask without a voxel says that it is KNOWN TO BE ABSENT.
            Cases that were read unpack a mask at each look-up (``PackedMasks``).
    """

    name: str
    patient: str
    volume: CtVolume
    masks: Mapping[str, NDArray[np.bool_]]

    def __post_init__(self) -> None:
        for name in (self.name, self.patient):
            if not SIMPLE_NAME.fullmatch(name):
                message = f"{name!r} names no case: letters, digits, - and _ only"
                raise ValueError(message)
        shape = self.volume.grid.shape_zyx
        if isinstance(self.masks, PackedMasks):
            if self.masks.shape_zyx != shape:
                message = f"the masks are {self.masks.shape_zyx}, not {shape}"
                raise ValueError(message)
            return
        for structure, mask in self.masks.items():
            if mask.shape != shape or mask.dtype != np.bool_:
                message = f"the mask of {structure} is {mask.dtype} {mask.shape}, not bool {shape}"
                raise ValueError(message)

    def __repr__(self) -> str:
        return f"Case({self.name})"


def write_case(stream: BinaryIO, case: Case) -> None:
    """Write a case; CT numbers that are not whole are rounded and end where int16 does."""
    grid = case.volume.grid
    limits = np.iinfo(np.int16)
    hu = case.volume.hu
    whole = hu if hu.dtype == np.int16 else np.clip(np.rint(hu), limits.min, limits.max).astype(np.int16)
    masks = case.masks
    if not isinstance(masks, PackedMasks):
        masks = PackedMasks(grid.shape_zyx)
        for structure, mask in case.masks.items():
            masks.put(structure, mask)
    rows = list(masks.rows.values())
    arrays = {
        "hu": whole,
        "slice_origins_lps_mm": grid.slice_origins_lps_mm,
        "column_step_lps_mm": grid.column_step_lps_mm,
        "row_step_lps_mm": grid.row_step_lps_mm,
        "structures": np.array(list(masks), dtype=np.str_),
        "masks": np.stack(rows) if rows else np.empty((0, (hu.size + 7) // 8), dtype=np.uint8),
    }
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def read_case(content: bytes, name: str, patient: str) -> Case:
    """The case that a file holds.

    Raises:
        DataSetInvalid: ``data.case-unreadable``.
    """
    try:
        with np.load(BytesIO(content), allow_pickle=False) as archive:
            hu = archive["hu"]
            grid = Grid(
                slice_origins_lps_mm=archive["slice_origins_lps_mm"],
                column_step_lps_mm=archive["column_step_lps_mm"],
                row_step_lps_mm=archive["row_step_lps_mm"],
                rows=hu.shape[1],
                columns=hu.shape[2],
            )
            names = [str(one) for one in archive["structures"]]
            masks = PackedMasks(hu.shape, dict(zip(names, archive["masks"], strict=True)))
        return Case(name, patient, CtVolume(hu, grid), masks)
    except (*_READ_ERRORS, IndexError) as error:
        raise DataSetInvalid(
            "data.case-unreadable", f"Case {name} of the data set cannot be read. Make the data set again."
        ) from error
