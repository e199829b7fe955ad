"""What is done to clean structures, and to a clean CT before it is contoured.

Each takes a case and a source of chance, and says which structures it spoiled; an empty set stands for the whole CT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.synthetic_ct.phantoms.devices import Devices
from models.synthetic_ct.phantoms.phantom import PhantomSample, pelvic_phantom
from models.volume import CtVolume, Grid, StructureField

Fields = Mapping[str, StructureField]

MOVED = ("Bladder", "Rectum", "Sacrum", "Femur_Head_L", "Femur_Head_R", "Bone_Pelvic_L", "Bone_Pelvic_R")
NEIGHBOURS = {
    "Bladder": "Rectum",
    "Rectum": "Bladder",
    "Femur_Head_L": "Bone_Pelvic_L",
    "Femur_Head_R": "Bone_Pelvic_R",
    "Sacrum": "Spine",
}
WIDE, METAL = "pixels 1.4 times too wide", "metal: hip prosthesis"
SHIFT_MM = 30.0
MISSING = 3
CAVITY_MM = 9.0
SCALE = 1.4


@dataclass(frozen=True)
class Case:
    """A CT with its structures; ``sample`` is the phantom it comes from, None of a patient's map."""

    volume: CtVolume
    fields: Fields
    sample: PhantomSample | None = None


@dataclass(frozen=True)
class Spoiled:
    """A case with something wrong in it."""

    volume: CtVolume
    fields: Fields
    structures: frozenset[str] = frozenset()


def shifted(case: Case, rng: np.random.Generator) -> Spoiled:
    """One structure lies 30 mm from where it should, to any of the six sides, as far as there is room."""
    name = _any(case, rng, MOVED)
    grid = case.volume.grid
    steps = (float(np.median(np.diff(grid.slice_offsets_mm))), grid.row_spacing_mm, grid.column_spacing_mm)
    old = case.fields[name]
    ways = [(axis, sign) for axis in range(3) for sign in (1, -1)]
    for at in rng.permutation(len(ways)):
        axis, sign = ways[at]
        corner = list(old.corner_zyx)
        corner[axis] += sign * round(SHIFT_MM / steps[axis])
        if corner[axis] >= 1 and corner[axis] + old.field.shape[axis] < grid.shape_zyx[axis]:
            moved = replace(old, corner_zyx=tuple(corner))
            return Spoiled(case.volume, {**case.fields, name: moved}, frozenset({name}))
    return Spoiled(case.volume, case.fields, frozenset({name}))


def swapped(case: Case, rng: np.random.Generator) -> Spoiled:
    """The two of a pair have each other's names."""
    left, right = (("Femur_Head_L", "Femur_Head_R"), ("Bone_Pelvic_L", "Bone_Pelvic_R"))[rng.integers(2)]
    fields = dict(case.fields)
    fields[left], fields[right] = fields[right], fields[left]
    return Spoiled(case.volume, fields, frozenset({left, right}))


def cut(case: Case, rng: np.random.Generator) -> Spoiled:
    """The upper or the lower half of one structure is gone."""
    name = _any(case, rng, MOVED)
    old = case.fields[name]
    on = np.flatnonzero((old.field > 0).any(axis=(1, 2)))
    middle = int(on[0] + on[-1] + 1) // 2
    values = old.field.copy()
    gone = slice(None, middle) if rng.random() < 0.5 else slice(middle, None)
    values[gone] = -1
    return Spoiled(case.volume, {**case.fields, name: replace(old, field=values)}, frozenset({name}))


def fused(case: Case, rng: np.random.Generator) -> Spoiled:
    """One structure holds its neighbour too, which is not found."""
    name = _any(case, rng, [a for a, b in NEIGHBOURS.items() if b in case.fields])
    other = NEIGHBOURS[name]
    both = case.fields[name].mask(case.volume.hu.shape) | case.fields[other].mask(case.volume.hu.shape)
    fields = {key: field for key, field in case.fields.items() if key != other}
    fields[name] = StructureField.of_mask(both)
    return Spoiled(case.volume, fields, frozenset({name}))


def slices_missing(case: Case, rng: np.random.Generator) -> Spoiled:
    """Three slices in the middle of one structure have nothing of it."""
    name = _any(case, rng, MOVED)
    old = case.fields[name]
    on = np.flatnonzero((old.field > 0).any(axis=(1, 2)))
    first = int(rng.integers(on[0] + 2, on[-1] - MISSING - 1))
    values = old.field.copy()
    values[first : first + MISSING] = -1
    return Spoiled(case.volume, {**case.fields, name: replace(old, field=values)}, frozenset({name}))


def hollowed(case: Case, rng: np.random.Generator) -> Spoiled:
    """A ball of 9 mm radius is missing where one structure is thickest."""
    name = _any(case, rng, ("Bladder", "Sacrum", "Femur_Head_L", "Femur_Head_R"))
    old = case.fields[name]
    grid = case.volume.grid
    inside = old.field > 0
    k = int(inside.sum(axis=(1, 2)).argmax())
    row, column = (float(np.mean(each)) for each in np.nonzero(inside[k]))
    z, y, x = np.indices(old.field.shape)
    between = float(np.median(np.diff(grid.slice_offsets_mm)))
    away_mm = np.sqrt(
        ((z - k) * between) ** 2
        + ((y - row) * grid.row_spacing_mm) ** 2
        + ((x - column) * grid.column_spacing_mm) ** 2
    )
    values = np.where(away_mm < CAVITY_MM, np.float32(-1), old.field)
    return Spoiled(case.volume, {**case.fields, name: replace(old, field=values)}, frozenset({name}))


def in_two_pieces(case: Case, rng: np.random.Generator) -> Spoiled:
    """A third of one structure is found once more, 80 mm in front of it or behind."""
    name = _any(case, rng, ("Bladder", "Rectum", "Sacrum"))
    mask = case.fields[name].mask(case.volume.hu.shape)
    on = np.flatnonzero(mask.any(axis=(1, 2)))
    third = mask.copy()
    third[: on[0] + len(on) // 3] = third[on[0] + 2 * len(on) // 3 :] = False
    away = round(80 / case.volume.grid.row_spacing_mm)
    rows = np.flatnonzero(third.any(axis=(0, 2)))
    away = -away if rows[0] >= away else min(away, case.volume.grid.rows - 1 - int(rows[-1]))
    both = mask | np.roll(third, away, axis=1)
    fields = {**case.fields, name: StructureField.of_mask(both)}
    return Spoiled(case.volume, fields, frozenset({name}))


def wrong_scale(case: Case, _rng: np.random.Generator) -> Spoiled:
    """The CT says that its pixels are 1.4 times as wide as they are."""
    grid = case.volume.grid
    wide = Grid(
        grid.slice_origins_lps_mm,
        grid.column_step_lps_mm * SCALE,
        grid.row_step_lps_mm * SCALE,
        grid.rows,
        grid.columns,
    )
    return Spoiled(CtVolume(case.volume.hu, wide), case.fields)


def metal(case: Case, _rng: np.random.Generator) -> Spoiled:
    """A hip prosthesis of metal with its streaks."""
    assert case.sample is not None
    other = pelvic_phantom(case.sample.patient.seed, devices=Devices(prosthesis="L"))
    sample = other.sample(case.volume.grid)
    fields = {
        name: StructureField.of_mask(mask) for name, mask in sample.truth().items() if name in case.fields
    }
    return Spoiled(sample.volume, fields, frozenset({"Femur_Head_L", "Bone_Pelvic_L"}))


def narrow(case: Case, _rng: np.random.Generator) -> Spoiled:
    """The field of view ends where 60 % of it did, so that the patient's left side is not in it."""
    grid = case.volume.grid
    kept = int(grid.columns * 0.6)
    smaller = Grid(grid.slice_origins_lps_mm, grid.column_step_lps_mm, grid.row_step_lps_mm, grid.rows, kept)
    masks = {name: field.mask(case.volume.hu.shape)[:, :, :kept] for name, field in case.fields.items()}
    fields = {name: StructureField.of_mask(mask) for name, mask in masks.items() if mask.any()}
    return Spoiled(CtVolume(np.ascontiguousarray(case.volume.hu[:, :, :kept]), smaller), fields)


def noisy(case: Case, rng: np.random.Generator) -> Spoiled:
    """Noise of 90 HU on every pixel."""
    hu = case.volume.hu + rng.normal(0, 90, case.volume.hu.shape)
    return Spoiled(CtVolume(np.clip(hu, -1024, 3071).astype(np.int16), case.volume.grid), case.fields)


def wrong_numbers(case: Case, _rng: np.random.Generator) -> Spoiled:
    """A rescale intercept that is 150 HU too high."""
    hu = np.clip(case.volume.hu.astype(np.int32) + 150, -1024, 3071)
    return Spoiled(CtVolume(hu.astype(np.int16), case.volume.grid), case.fields)


OF_STRUCTURES: dict[str, Callable[[Case, np.random.Generator], Spoiled]] = {
    "sides swapped": swapped,
    "shifted by 30 mm": shifted,
    "cut in half at a slice": cut,
    "fused with a neighbour": fused,
    "three slices missing within": slices_missing,
    "a ball of 9 mm missing within": hollowed,
    "a third of it found once more": in_two_pieces,
    WIDE: wrong_scale,
}
OF_CT: dict[str, Callable[[Case, np.random.Generator], Spoiled]] = {
    METAL: metal,
    "field of view cut off": narrow,
    "noise of 90 HU": noisy,
    "CT numbers 150 HU too high": wrong_numbers,
}


def _any(case: Case, rng: np.random.Generator, names) -> str:
    return str(rng.choice([name for name in names if name in case.fields]))
