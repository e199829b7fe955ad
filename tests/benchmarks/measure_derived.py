"""Structures made of others on a whole CT, and how exact a margin is, beside SimpleITK's exact map of voxels."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from benchmarks.contestants import versions_of
from benchmarks.rounds import interleaved
from benchmarks.scoreboard import Bar, Scoreboard, absolute, compared
from benchmarks.settings import Settings
from benchmarks.stopwatch import Stopwatch
from drawn_structures import as_field, ball

from models.volume import Grid, Provenance, Segmentation, StructureField
from service.config.derivation import DerivedStructure
from service.contouring.derivation import operations
from service.contouring.derivation.distance import Lattice
from service.contouring.derivation.evaluation import with_derived
from service.dicom.patient_grids import patient_grid

SPACING_ZYX_MM = (3.0, 0.977, 0.977)
ELLIPSOIDS = {  # centre and semi-axes, mm, along slices, rows and columns from the middle of the CT
    "External": ((0, 0, 0), (900, 120, 180)),
    "SpinalCanal": ((0, 60, 0), (280, 8, 8)),
    "Bowel_Small": ((50, -40, 0), (80, 60, 110)),
    "Colon": ((30, -30, 20), (100, 50, 130)),
    "Bladder": ((-60, -20, 0), (40, 45, 45)),
    "A_Iliac_L": ((-20, 20, 40), (90, 8, 8)),
    "A_Iliac_R": ((-20, 20, -40), (90, 8, 8)),
    "Bone_Pelvic_L": ((-60, 30, 90), (80, 40, 35)),
    "Bone_Pelvic_R": ((-60, 30, -90), (80, 40, 35)),
}
DERIVED = {
    "SpinalCanal_PRV5": {"of": "SpinalCanal", "margin": 5.0},
    "Bag_Bowel": {
        "of": ["Bowel_Small", "Colon"],
        "steps": [{"margin": 10.0}, {"margin": -10.0}, {"inside": {"structure": "External", "mm": 3.0}}],
    },
    "zVessels_07": {
        "of": ["A_Iliac_L", "A_Iliac_R"],
        "steps": [
            {"margin": 7.0},
            {"away_from": {"structures": ["Bone_Pelvic_L", "Bone_Pelvic_R", "Bladder", "Bowel_Small"]}},
        ],
    },
    "zRing_Bladder": {"of": "Bladder", "ring": {"inner": 3.0, "outer": 20.0}},
    "zBladder_Smooth": {"of": "Bladder", "smooth": 3.0},
}
BALL_MM, MARGIN_MM = 20.0, 5.0


def measure(settings: Settings) -> Scoreboard:
    """The five structures of a pelvis, one margin beside SimpleITK's, and what a margin on a ball is off by."""
    rounds = settings.rounds(5)
    shape = (40, 128, 128) if settings.small else (200, 512, 512)
    grid = patient_grid("HFS", shape_zyx=shape, spacing_zyx_mm=SPACING_ZYX_MM)
    structures = {name: _ellipsoid(grid, *of) for name, of in ELLIPSOIDS.items()}
    found = {name: field for name, field in structures.items() if field is not None}
    derived = {name: DerivedStructure.model_validate(one) for name, one in DERIVED.items()}
    segmentation = Segmentation(found, Provenance("ellipsoids", "1.0", "00" * 32, validated=True))
    board = Scoreboard("derived", versions=versions_of())
    whole = [_watched(lambda: with_derived(segmentation, derived, grid)) for _ in range(rounds)]
    what = f"five derived structures on {' x '.join(map(str, shape))}"
    seconds = [one["seconds"] for one in whole]
    board.rows.append(absolute(f"{what}, elapsed", "s", seconds, Bar("<=", 3.0, of="ours")))
    board.rows.append(absolute(f"{what}, CPU", "s", [one["cpu_seconds"] for one in whole]))
    board.rows.append(
        absolute(f"{what}, memory beyond the fields", "MiB", [one["added_mib"] for one in whole])
    )
    lattice, bowel = Lattice.of(grid), found["Bowel_Small"]
    by_turns = interleaved(
        {
            "ours": lambda: _watched(lambda: operations.margin(bowel, MARGIN_MM, lattice)),
            "SimpleITK": lambda: _watched(lambda: _with_map_of_voxels(bowel, MARGIN_MM, grid)),
        },
        rounds,
        warm_up=1,
    )
    board.rows.append(
        compared("a margin on the small bowel, in its box, CPU", "s", by_turns.of("cpu_seconds"))
    )
    for slices_mm in (1.0, 3.0, 5.0):
        ours, theirs = _errors_mm(slices_mm)
        name = f"{MARGIN_MM:g} mm about a ball of {BALL_MM:g} mm, slices of {slices_mm:g} mm: off by"
        board.rows.append(
            compared(f"{name}, mean", "mm", {"ours": [ours.mean()], "SimpleITK": [theirs.mean()]})
        )
        board.rows.append(
            compared(f"{name}, most", "mm", {"ours": [ours.max()], "SimpleITK": [theirs.max()]})
        )
    board.remarks.append(
        "SimpleITK: SignedMaurerDistanceMap of the mask, cut at the margin between its voxels."
    )
    return board


def _watched(action: object) -> dict[str, float]:
    with Stopwatch() as watch:
        action()
    return watch.figures


def _ellipsoid(grid: Grid, centre, semi_axes) -> StructureField | None:
    lattice = Lattice.of(grid)
    z, y, x = (
        ((places - places.mean() - at) / axis).astype(np.float32)
        for places, at, axis in zip(lattice.places_mm, centre, semi_axes, strict=True)
    )
    away = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2)
    return operations.tight(np.float32(min(semi_axes)) * (1 - away), _whole(grid))


def _whole(grid: Grid):
    z, y, x = grid.shape_zyx
    return slice(0, z), slice(0, y), slice(0, x)


def _with_map_of_voxels(part: StructureField, mm: float, grid: Grid) -> StructureField:
    """The same by SimpleITK: distance to the nearest voxel of the mask, in the box and the margin about it."""
    lattice = Lattice.of(grid)
    box = lattice.widened(part.slices_zyx, (mm,) * 3, (mm,) * 3)
    mask = np.zeros([one.stop - one.start for one in box], np.uint8)
    at = tuple(
        slice(own.start - of.start, own.stop - of.start) for own, of in zip(part.slices_zyx, box, strict=True)
    )
    mask[at] = part.field > 0
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing(tuple(float(p[1] - p[0]) for p in reversed(lattice.places_mm)))
    away = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    field = np.float32(mm) - sitk.GetArrayFromImage(away)
    return StructureField(field, tuple(one.start for one in box))


def _errors_mm(slices_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """How far the surface of the ball with its margin lies from where it should, where it meets grid lines."""
    shape = (int(72 / slices_mm), 76, 76)
    grid = patient_grid("HFS", shape_zyx=shape, spacing_zyx_mm=(slices_mm, 1.0, 1.0))
    middle = grid.positions_lps_mm(shape[0] // 2, np.array(37.7), np.array(38.2)) + np.array([0, 0, 0.4])
    part = as_field(ball(grid, middle, BALL_MM))
    lattice = Lattice.of(grid)
    both = operations.margin(part, MARGIN_MM, lattice), _with_map_of_voxels(part, MARGIN_MM, grid)
    return tuple(_off(one, grid, middle) for one in both)


def _off(part: StructureField, grid: Grid, middle: np.ndarray) -> np.ndarray:
    lattice = Lattice.of(grid)
    offsets = []
    first = grid.positions_lps_mm(0, np.array(0.0), np.array(0.0))
    frame = [
        grid.normal,
        grid.row_step_lps_mm / grid.row_spacing_mm,
        grid.column_step_lps_mm / grid.column_spacing_mm,
    ]
    for axis in range(3):
        field = np.moveaxis(part.field, axis, 0)
        changes = np.argwhere((field[1:] > 0) != (field[:-1] > 0))
        a, b = (field[tuple((changes + np.array([step, 0, 0])).T)] for step in (0, 1))
        share = a / (a - b)
        order = [axis, *(i for i in range(3) if i != axis)]
        places = np.zeros((len(changes), 3))
        for column, of in enumerate(order):
            along = lattice.places_mm[of][part.slices_zyx[of]]
            places[:, of] = along[changes[:, column]]
            if column == 0:
                places[:, of] += share * (along[changes[:, 0] + 1] - along[changes[:, 0]])
        points = first + sum(places[:, [i]] * frame[i] for i in range(3))
        offsets.append(np.linalg.norm(points - middle, axis=1) - (BALL_MM + MARGIN_MM))
    return np.abs(np.concatenate(offsets))
