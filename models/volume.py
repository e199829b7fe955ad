"""The nouns of segmentation: a grid in patient millimetres, a CT volume on it, fields that bound structures.

Frame: DICOM patient coordinates, LPS (x to the patient's left, y to posterior, z to head), in mm.
Arrays are indexed ``[slice, row, column]``; a voxel's position is that of its centre (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.stages import Peak

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Voxel centres of a stack of parallel slices, evenly spaced or not.

    Attributes:
        slice_origins_lps_mm: ``(n, 3)`` first voxel of each slice, ascending along ``normal``.
        column_step_lps_mm: ``(3,)`` from one column to the next (row direction cosine x column spacing).
        row_step_lps_mm: ``(3,)`` from one row to the next (column direction cosine x row spacing).
        rows: number of rows in each slice.
        columns: number of columns in each slice.
    """

    slice_origins_lps_mm: FloatArray
    column_step_lps_mm: FloatArray
    row_step_lps_mm: FloatArray
    rows: int
    columns: int

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return len(self.slice_origins_lps_mm), self.rows, self.columns

    @property
    def column_spacing_mm(self) -> float:
        """Distance between neighbouring columns, mm."""
        return float(np.linalg.norm(self.column_step_lps_mm))

    @property
    def row_spacing_mm(self) -> float:
        """Distance between neighbouring rows, mm."""
        return float(np.linalg.norm(self.row_step_lps_mm))

    @property
    def normal(self) -> FloatArray:
        """``(3,)`` unit vector, row direction x column direction: slices ascend along it."""
        n = np.cross(self.column_step_lps_mm, self.row_step_lps_mm)
        return n / np.linalg.norm(n)

    @property
    def slice_offsets_mm(self) -> FloatArray:
        """``(n,)`` distance of each slice along ``normal`` from the first one, ascending."""
        return (self.slice_origins_lps_mm - self.slice_origins_lps_mm[0]) @ self.normal  # type: ignore[no-any-return]

    @property
    def slice_widths_mm(self) -> FloatArray:
        """``(n,)`` extent of each slice, mm: half way to either neighbour, doubled at the ends."""
        gaps = np.diff(self.slice_offsets_mm)
        if not len(gaps):
            return np.ones(1)
        return np.concatenate([gaps[:1], (gaps[1:] + gaps[:-1]) / 2, gaps[-1:]])

    def voxel_volumes_mm3(self) -> FloatArray:
        """``(n,)`` volume of one voxel in each slice, mm3."""
        return self.slice_widths_mm * (self.column_spacing_mm * self.row_spacing_mm)

    def positions_lps_mm(self, k: int, rows: FloatArray, columns: FloatArray) -> FloatArray:
        """Positions ``(..., 3)`` of (row, column) index pairs, fractions allowed, on slice ``k``."""
        return (  # type: ignore[no-any-return]
            self.slice_origins_lps_mm[k]
            + np.asarray(columns)[..., None] * self.column_step_lps_mm
            + np.asarray(rows)[..., None] * self.row_step_lps_mm
        )


@dataclass(frozen=True, slots=True, repr=False)
class CtVolume:
    """CT numbers on a grid; holds nothing that names a patient.

    Attributes:
        hu: ``(slices, rows, columns)`` int16 or float32, Hounsfield units.
        grid: where the voxels are.
    """

    hu: NDArray[np.int16] | NDArray[np.float32]
    grid: Grid

    def __post_init__(self) -> None:
        if self.hu.shape != self.grid.shape_zyx:
            message = f"a volume of shape {self.hu.shape} cannot lie on a grid of shape {self.grid.shape_zyx}"
            raise ValueError(message)


class Severity(StrEnum):
    """How much a finding matters to the reader, and what becomes of the structure or the set for it.

    HOLD: the structure set waits until a person has looked. STOP: the structure is left out of it.
    """

    NOTE = "note"
    WARNING = "warning"
    HOLD = "hold"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a clinician should know about a segmentation.

    Attributes:
        code: stable, e.g. ``structure.cut-by-field-of-view``.
        sentence: for people, without patient data.
        structure: TG-263 name it concerns, or None for the whole CT.
        severity: note, warning, hold or stop.
    """

    code: str
    sentence: str
    structure: str | None = None
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class StructureField:
    """A structure as the region where a scalar field is positive; the surface is its zero level.

    The field is the logit margin of a probability, or +-1 for a mask. Outside the box it counts as
    negative, so the box leaves at least one voxel of negative margin wherever the volume has room.

    Attributes:
        field: ``(dz, dy, dx)`` float32, positive inside.
        corner_zyx: index in the volume of the box's first voxel.
        from_mask: True if the field is a mask's +-1 and not a probability's logit margin.
    """

    field: NDArray[np.float32]
    corner_zyx: tuple[int, int, int]
    from_mask: bool = False

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> StructureField:
        """A mask ``(slices, rows, columns)``, not empty, cropped to a box with a margin of one voxel."""
        on_slices = np.flatnonzero(np.any(mask, axis=(1, 2)))
        flat: NDArray[np.bool_] = np.any(mask[on_slices[0] : on_slices[-1] + 1], axis=0)
        inside = (on_slices, np.flatnonzero(np.any(flat, axis=1)), np.flatnonzero(np.any(flat, axis=0)))
        low = [max(int(one[0]) - 1, 0) for one in inside]
        box = tuple(slice(at, int(one[-1]) + 2) for at, one in zip(low, inside, strict=True))
        field = np.where(mask[box], np.float32(1), np.float32(-1))
        return cls(field, (low[0], low[1], low[2]), from_mask=True)

    @property
    def slices_zyx(self) -> tuple[slice, slice, slice]:
        """Index of the box in the whole volume."""
        z, y, x = self.corner_zyx
        dz, dy, dx = self.field.shape
        return slice(z, z + dz), slice(y, y + dy), slice(x, x + dx)

    def mask(self, shape_zyx: tuple[int, int, int]) -> NDArray[np.bool_]:
        """The structure as a mask on the whole volume, ``shape_zyx`` bool."""
        full = np.zeros(shape_zyx, dtype=bool)
        full[self.slices_zyx] = self.field > 0
        return full

    def volume_cm3(self, grid: Grid) -> float:
        """Voxel count times voxel volume, cm3."""
        inside = (self.field > 0).sum(axis=(1, 2))
        return float(inside @ grid.voxel_volumes_mm3()[self.slices_zyx[0]]) / 1000.0


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a segmentation: enough to make it again.

    Attributes:
        model: bundle name, e.g. ``pelvis-ct``.
        version: bundle version, e.g. ``1.0``.
        sha256: of the weights (or of the program, for a classical model), hex.
        validated: False where the card says that the model saw synthetic data only.
        device: ``cuda``, ``cpu`` and the like.
        precision: ``float32``, ``bfloat16`` ...
        steps_down: what was given up to fit into memory, in order, e.g. ``single-tiles``, ``cpu``;
            ``float32`` where half precision gave no numbers.
        runtime: what ran the model and its version, where that is not this project's own networks.
        mode: ``eager``, layer by layer, or ``compiled``. With device and precision, it decides every bit.
    """

    model: str
    version: str
    sha256: str
    validated: bool
    device: str = "cpu"
    precision: str = "float32"
    steps_down: tuple[str, ...] = ()
    mode: str = "eager"
    runtime: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Segmentation:
    """What a model says of one CT volume.

    Attributes:
        structures: by TG-263 name; a structure that was looked for and not found is absent.
        provenance: which model said so.
        findings: what people must be told.
        seconds: time spent, by step.
        peaks: most memory at one time, by step.
        made_by: by structure, what made it where that is not ``provenance``.
    """

    structures: Mapping[str, StructureField]
    provenance: Provenance
    findings: tuple[Finding, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peaks: Mapping[str, Peak] = field(default_factory=dict)
    made_by: Mapping[str, Provenance] = field(default_factory=dict)

    def maker(self, structure: str) -> Provenance:
        """What made a structure."""
        return self.made_by.get(structure, self.provenance)


class OutsideTrainedRegion(ValueError):
    """The CT does not show what the model was trained on; ``code`` is stable, the message is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
