"""Tissue maps: volumes of tissue codes from which synthetic CT is painted, and what each tissue counts as."""

from __future__ import annotations

import lzma
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from models.data_sets.case_file import DataSetInvalid


class Tissue(IntEnum):
    """Codes of the tissue maps."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    SOFT = 4
    BLADDER = 5
    RECTUM = 6
    BOWEL = 7
    COLON = 8
    FEMUR_HEAD_L = 9
    FEMUR_HEAD_R = 10
    FEMUR_SHAFT_L = 11
    FEMUR_SHAFT_R = 12
    HIP_L = 13
    HIP_R = 14
    SACRUM = 15
    VERTEBRA = 16
    CANAL = 17
    ARTERY = 18
    VEIN = 19
    UTERUS = 20
    PROSTATE = 21
    LIVER = 22
    KIDNEY_L = 23
    KIDNEY_R = 24
    SPLEEN = 25
    STOMACH = 26
    PANCREAS = 27
    GALLBLADDER = 28
    BONE = 29
    LUNG = 30
    DISC = 31
    HEART = 33
    OVARY = 34


CLASSES: dict[int, tuple[str, tuple[Tissue, ...]]] = {
    1: ("Bladder", (Tissue.BLADDER,)),
    2: ("Rectum", (Tissue.RECTUM,)),
    3: ("Bowel_Small", (Tissue.BOWEL,)),
    4: ("Colon", (Tissue.COLON,)),
    5: ("Femur_Head_L", (Tissue.FEMUR_HEAD_L,)),
    6: ("Femur_Head_R", (Tissue.FEMUR_HEAD_R,)),
    7: ("Bone_Pelvic_L", (Tissue.HIP_L,)),
    8: ("Bone_Pelvic_R", (Tissue.HIP_R,)),
    9: ("Sacrum", (Tissue.SACRUM,)),
    10: ("Spine", (Tissue.VERTEBRA,)),
    11: ("SpinalCanal", (Tissue.CANAL,)),
    12: ("Vessels_Iliac", (Tissue.ARTERY, Tissue.VEIN)),
    13: ("Uterus", (Tissue.UTERUS,)),
    14: ("Prostate", (Tissue.PROSTATE,)),
}
"""Network class -> structure name and the tissues it is made of; class 0 is background."""

CLASS_COUNT = len(CLASSES) + 1

COMPOSED: dict[str, tuple[Tissue, ...]] = {
    "BoneMarrow": (Tissue.HIP_L, Tissue.HIP_R, Tissue.SACRUM),  # whole bones, as it is drawn on CT
}
"""Further structures that are whole tissues; no class of the shipped network."""

DELIVERED = tuple(name for number, (name, _) in CLASSES.items() if number <= 11)
"""The structures of the pelvic bundle; the other classes help training and are not offered."""

MIRRORED = (
    (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_HEAD_R),
    (Tissue.FEMUR_SHAFT_L, Tissue.FEMUR_SHAFT_R),
    (Tissue.HIP_L, Tissue.HIP_R),
    (Tissue.KIDNEY_L, Tissue.KIDNEY_R),
)
"""Codes that change places when a map is mirrored."""

HELD_OUT_PATIENTS = ("word_0017", "word_0131", "word_0019", "word_0033", "word_0057")
"""Patients never trained on, whatever file they turn up in."""

UNUSABLE = ("pytg43",)
"""Sources without bones to fit a template on: their maps are blocks of fat."""


@dataclass(frozen=True, slots=True, repr=False)
class TissueMap:
    """One map.

    Attributes:
        source: name in the file; the patient is what stands before ``__``.
        codes: ``(z, y, x)`` uint8, 2 mm, x to the left, y to posterior, z to head.
    """

    source: str
    codes: NDArray[np.uint8]

    @property
    def patient(self) -> str:
        """Whose anatomy it is."""
        return self.source.partition("__")[0]


def class_table() -> NDArray[np.uint8]:
    """``(256,)`` network class of each tissue code."""
    table = np.zeros(256, np.uint8)
    for number, (_, tissues) in CLASSES.items():
        table[list(tissues)] = number
    return table


def mirror_table() -> NDArray[np.uint8]:
    """``(256,)`` tissue code after a left-right flip."""
    table = np.arange(256, dtype=np.uint8)
    for left, right in MIRRORED:
        table[left], table[right] = right, left
    return table


def read_tissue_maps(path: Path, leave_out: Iterable[str] = ()) -> Iterator[TissueMap]:
    """Maps of an ``.npz`` file of lzma-compressed arrays, without the held-out, unusable and named patients.

    Args:
        path: the file; its array ``shape`` gives z, y, x of every map.
        leave_out: further patients to leave out, by the beginning of their names.
    """
    without = (*HELD_OUT_PATIENTS, *UNUSABLE, *leave_out)
    yield from (m for m in _all_maps(path) if not m.source.startswith(without))


def read_left_out(path: Path, patients: Iterable[str]) -> Iterator[TissueMap]:
    """The maps that `read_tissue_maps` leaves out when told to leave out ``patients``: for evaluation."""
    yield from (m for m in _all_maps(path) if m.source.startswith((*HELD_OUT_PATIENTS, *patients)))


def tissue_map_names(path: Path) -> tuple[str, ...]:
    """Names of all maps of a file, in its order."""
    with _opened(path) as archive:
        return tuple(name for name in archive.files if name != "shape")


def read_tissue_map(path: Path, name: str) -> TissueMap:
    """One map of a file; KeyError if it has none of this name."""
    with _opened(path) as archive:
        return _unpacked(archive, name)


def write_tissue_maps(path: Path, maps: Iterable[TissueMap], *, add: bool = False) -> None:
    """Write a file of maps, all of one shape, in one piece; ``add`` keeps the maps that are in it already.

    Raises:
        DataSetInvalid: ``maps.unreadable``, ``maps.other-shape``.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    if add and path.exists():
        with _opened(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
    for one in maps:
        shape = arrays.setdefault("shape", np.array(one.codes.shape))
        if tuple(shape) != one.codes.shape:
            sentence = (
                "Tissue maps of one file have one shape; this one lies in another box. Choose another file."
            )
            raise DataSetInvalid("maps.other-shape", sentence)
        arrays[one.source] = np.frombuffer(lzma.compress(one.codes.tobytes(), preset=6), np.uint8)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    part.replace(path)


def _all_maps(path: Path) -> Iterator[TissueMap]:
    with _opened(path) as archive:
        for name in archive.files:
            if name != "shape":
                yield _unpacked(archive, name)


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    """The archive; a file that is none is refused."""
    try:
        archive = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataSetInvalid(
            "maps.unreadable", "The file of tissue maps cannot be read. Name an .npz file of tissue maps."
        ) from error
    if not isinstance(archive, NpzFile) or "shape" not in archive.files:
        raise DataSetInvalid("maps.unreadable", "The file holds no tissue maps: an array 'shape' is missing.")
    with archive:
        yield archive


def _unpacked(archive: NpzFile, name: str) -> TissueMap:
    shape = tuple(int(n) for n in archive["shape"])
    try:
        codes = np.frombuffer(lzma.decompress(archive[name].tobytes()), np.uint8).reshape(shape).copy()
    except (lzma.LZMAError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataSetInvalid(
            "maps.damaged", f"Tissue map {name} is damaged. Copy the file again, or make it again."
        ) from error
    return TissueMap(name, codes)
