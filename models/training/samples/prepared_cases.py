"""Cases on the network's grid, as training looks at them: made once, kept on disk, mapped into memory.

::

    FOLDER/<case>-<hash>/hu.npy      int16 (z, y, x), axes head, posterior, left
    FOLDER/<case>-<hash>/bits.npy    which structures each voxel belongs to, one bit each
    FOLDER/<case>-<hash>/facts.npz   what is known, where things are

The hash is of all that a case was made from: its file's SHA-256, the grid, the crop and the structures. So a
recipe with another grid finds nothing and makes its own, and nothing stale is ever read. Arrays are mapped,
not read: memory holds what was used last, and the machine decides how much.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from models.cards.input_card import InputCard
from models.data_sets.data_set import Case, DataSet, DataSetInvalid
from models.full_disk import disk_errors
from models.preprocess import HU_RANGE, network_grid, to_network
from models.training.recipes.recipe import Recipe
from models.view_box import Box, view_box
from models.volume import CtVolume, OutsideTrainedRegion

Mask: TypeAlias = NDArray[np.bool_]

MOST_STRUCTURES: Final = 63
_FORMAT: Final = 1
_PLACES: Final = 4096  # of a structure's voxels, evenly spread, that a patch may be centred on
_CPU: Final = torch.device("cpu")


@dataclass(frozen=True, slots=True, repr=False)
class PreparedCase:
    """A case on the network's grid.

    Attributes:
        name: of the case.
        spacing_zyx_mm: of the grid.
        box: the part that the network looks at (`models.view_box`), as at inference.
        known: ``(structures,)`` bool.
        in_slice: ``(structures, z)`` bool, whether the structure is in that slice of the box.
        places: for each structure, voxels of it in the box, ``(k, 3)``; empty where it is absent or unknown.
        histogram: ``(4096,)`` how often each CT number from -1024 on occurs in the box.
        folder: where its arrays lie.
    """

    name: str
    spacing_zyx_mm: tuple[float, float, float]
    box: Box
    known: Mask
    in_slice: Mask
    places: tuple[NDArray[np.int32], ...]
    histogram: NDArray[np.int64]
    folder: Path

    def hu(self) -> NDArray[np.int16]:
        """``(z, y, x)``, mapped from disk."""
        mapped: NDArray[np.int16] = np.load(self.folder / "hu.npy", mmap_mode="r")
        return mapped

    def bits(self) -> NDArray[Any]:
        """``(z, y, x)`` whole numbers, bit s of which says that the voxel is of structure s; mapped."""
        mapped: NDArray[Any] = np.load(self.folder / "bits.npy", mmap_mode="r")
        return mapped

    def mask(self, structure: int) -> Mask:
        """``(z, y, x)`` of one structure; empty where it is unknown."""
        return (self.bits() >> structure & 1).astype(bool)


class PreparedCases:
    """The cases of a data set as a recipe's network sees them.

    Args:
        data: the data set.
        recipe: its grid, crop, patch and structures.
        folder: where prepared cases are kept.

    Raises:
        DataSetInvalid: ``data.structures-too-many``, or ``data.structure-never-drawn``: a structure of the
            recipe is unknown in every case that could teach it, so the network would say it by chance.
    """

    def __init__(self, data: DataSet, recipe: Recipe, folder: Path) -> None:
        if len(recipe.targets) > MOST_STRUCTURES:
            raise DataSetInvalid(
                "data.structures-too-many", f"At most {MOST_STRUCTURES} structures can be learned at a time."
            )
        self._data, self._folder = data, folder
        self._card = recipe.input.card(())
        self._sides = {name: recipe.left_right.get(name, (name,)) for name in recipe.targets}
        self._cases: dict[str, PreparedCase] = {}
        _refuse_untaught(data, recipe, self._sides)

    @property
    def structures(self) -> tuple[str, ...]:
        """What bit and mask numbers stand for."""
        return tuple(self._sides)

    def get(self, name: str) -> PreparedCase:
        """One case; made now if it was not before.

        Raises:
            DataSetInvalid: as `DataSet.read`; ``data.case-not-for-network``, it shows only air or is oblique;
                ``prepared.disk-full`` or ``prepared.unwritable``.
        """
        if name not in self._cases:
            folder = self._folder / f"{name}-{self._hash(name)[:16]}"
            if not folder.is_dir():
                self._make(self._data.read(name), folder)
            self._cases[name] = _opened(name, folder)
        return self._cases[name]

    def _hash(self, name: str) -> str:
        entry = self._data.entry(name)
        made_from = {
            "format": _FORMAT,
            "case": entry.sha256,
            "spacing": self._card.spacing_zyx_mm,
            "patch": self._card.patch_zyx,
            "crop": None if self._card.crop is None else asdict(self._card.crop),
            "structures": list(self._sides.items()),
        }
        return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()

    def _make(self, case: Case, folder: Path) -> None:
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        made = _prepared(case, self._card, self._sides)
        with disk_errors(DataSetInvalid, "prepared"):
            shutil.rmtree(part, ignore_errors=True)
            try:
                part.mkdir(parents=True)
                np.save(part / "hu.npy", made.pop("hu"))
                np.save(part / "bits.npy", made.pop("bits"))
                np.savez(part / "facts.npz", allow_pickle=False, **made)
                _rename(part, folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)


def _refuse_untaught(data: DataSet, recipe: Recipe, sides: Mapping[str, Sequence[str]]) -> None:
    names = (*data.names("train"), *(data.names("validation") if recipe.end.vary_validation else ()))
    known = [set(data.entry(name).structures) for name in names]
    untaught = [name for name, parts in sides.items() if not any(set(parts) <= each for each in known)]
    if names and untaught:
        sentence = (
            f"In no training case was anybody looking for {', '.join(untaught)}. Take it out of the recipe's "
            "structures, or import it by its name."
        )
        raise DataSetInvalid("data.structure-never-drawn", sentence)


def _rename(part: Path, folder: Path) -> None:
    """Put in place what was made, unless another process was faster."""
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _prepared(case: Case, card: InputCard, sides: Mapping[str, Sequence[str]]) -> dict[str, NDArray[Any]]:
    """The arrays that are kept of a case, by name."""
    try:
        grid = network_grid(case.volume.grid, card.spacing_zyx_mm)
        on_grid = to_network(case.volume, grid, _CPU)
        box = view_box(on_grid, card, grid.spacing_zyx_mm)
    except OutsideTrainedRegion as error:
        sentence = f"Case {case.name} cannot be used: {error} Take it out of the data set."
        raise DataSetInvalid("data.case-not-for-network", sentence) from error
    hu = on_grid.round_().numpy().astype(np.int16)
    count = np.bincount(hu[box].ravel() - int(HU_RANGE[0]), minlength=int(HU_RANGE[1] - HU_RANGE[0]) + 1)
    bits = np.zeros(hu.shape, np.min_scalar_type(-(1 << len(sides))))
    known = np.zeros(len(sides), bool)
    in_slice = np.zeros((len(sides), len(hu)), bool)
    facts: dict[str, NDArray[Any]] = {}
    for s, parts in enumerate(sides.values()):
        known[s] = all(one in case.masks for one in parts)
        mask = np.zeros(hu.shape, bool)
        for one in parts if known[s] else ():
            share = CtVolume(case.masks[one].astype(np.int16), case.volume.grid)
            mask |= to_network(share, grid, _CPU).numpy() > 0.5
        bits |= mask.astype(bits.dtype) << s
        in_slice[s, box[0]] = mask[box].any(axis=(1, 2))
        facts[f"places_{s}"] = _places(mask[box]) + [part.start for part in box]
    limits = [[part.start, part.stop] for part in box]
    return facts | {
        "hu": hu,
        "bits": bits,
        "spacing_zyx_mm": np.array(grid.spacing_zyx_mm),
        "box": np.array(limits),
        "known": known,
        "in_slice": in_slice,
        "histogram": count,
    }


def _places(mask: Mask) -> NDArray[np.int32]:
    """``(k, 3)`` at most `_PLACES` voxels of ``mask``, evenly spread in C order."""
    flat = np.flatnonzero(mask)
    some = flat[np.linspace(0, len(flat) - 1, min(len(flat), _PLACES)).astype(np.int64)]
    return np.stack(np.unravel_index(some, mask.shape), axis=1).astype(np.int32)


def _opened(name: str, folder: Path) -> PreparedCase:
    with np.load(folder / "facts.npz", allow_pickle=False) as facts:
        z, y, x = (slice(int(first), int(end)) for first, end in facts["box"])
        dz, dy, dx = (float(mm) for mm in facts["spacing_zyx_mm"])
        count = len(facts["known"])
        return PreparedCase(
            name,
            (dz, dy, dx),
            (z, y, x),
            facts["known"],
            facts["in_slice"],
            tuple(facts[f"places_{s}"].astype(np.int32) for s in range(count)),
            facts["histogram"],
            folder,
        )
