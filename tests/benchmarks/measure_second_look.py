"""The second look at a whole CT with eleven structures and the body, beside making the contours of the same."""

from __future__ import annotations

import numpy as np
from benchmarks.contestants import versions_of
from benchmarks.rounds import interleaved
from benchmarks.scoreboard import Bar, Scoreboard, absolute, compared
from benchmarks.settings import Settings
from benchmarks.stopwatch import Stopwatch

from models.cards.catalog import find_bundle
from models.second_look.look import Contoured, second_look
from models.volume import CtVolume, Grid, Provenance, Segmentation, StructureField
from service.contouring.contours import contours_of
from service.dicom.patient_grids import patient_grid

SPACING_ZYX_MM = (2.0, 0.977, 0.977)
ELLIPSOIDS = {  # centre and semi-axes, mm, along slices, rows and columns from the middle of the CT
    "External": ((0, 0, 0), (900, 120, 180)),
    "Bladder": ((-60, -20, 0), (40, 45, 45)),
    "Rectum": ((-50, 60, 0), (60, 18, 18)),
    "Bowel_Small": ((50, -40, 0), (80, 60, 110)),
    "Colon": ((60, 45, 20), (100, 30, 130)),
    "Femur_Head_L": ((-60, 10, 90), (35, 24, 24)),
    "Femur_Head_R": ((-60, 10, -90), (35, 24, 24)),
    "Bone_Pelvic_L": ((-20, 40, 100), (90, 30, 30)),
    "Bone_Pelvic_R": ((-20, 40, -100), (90, 30, 30)),
    "Sacrum": ((20, 85, 0), (50, 20, 45)),
    "Spine": ((130, 60, 0), (70, 30, 25)),
    "SpinalCanal": ((130, 95, 0), (70, 8, 8)),
}


def measure(settings: Settings) -> Scoreboard:
    """Processor seconds of one thread, by turns with contours of the same fields."""
    rounds = settings.rounds(5)
    shape = (40, 128, 128) if settings.small else (200, 512, 512)
    grid = patient_grid("HFS", shape_zyx=shape, spacing_zyx_mm=SPACING_ZYX_MM)
    fields = {name: _ellipsoid(grid, *of) for name, of in ELLIPSOIDS.items()}
    hu = np.where(fields["External"].mask(shape), 40, -1000).astype(np.int16)
    hu += np.random.default_rng(1).integers(-30, 30, shape, dtype=np.int16)
    card = find_bundle("pelvis-ct@2.0", ())
    cards = {name: card for name in fields if name in card.structures}
    contoured = Contoured(fields, grid, CtVolume(hu, grid), cards)
    said = Segmentation(fields, Provenance("ellipsoids", "1.0", "00" * 32, validated=True))
    by_turns = interleaved(
        {
            "ours": lambda: _watched(lambda: second_look(contoured)),
            "our contours": lambda: _watched(lambda: contours_of(said, grid)),
        },
        rounds,
        warm_up=1,
    )
    board = Scoreboard("second_look", versions=versions_of())
    what = f"{len(fields)} structures on {' x '.join(map(str, shape))}"
    cpu = by_turns.of("cpu_seconds")
    board.rows.append(absolute(f"{what}, CPU", "s", cpu["ours"], Bar("<=", 1.5, of="ours")))
    board.rows.append(compared(f"{what}, CPU beside their contours", "s", cpu))
    return board


def _watched(action: object) -> dict[str, float]:
    with Stopwatch() as watch:
        action()
    return watch.figures


def _ellipsoid(grid: Grid, centre, semi_axes) -> StructureField:
    """A field of millimetres, near enough, cropped to its box."""
    places = (
        grid.slice_offsets_mm,
        np.arange(grid.rows) * grid.row_spacing_mm,
        np.arange(grid.columns) * grid.column_spacing_mm,
    )
    z, y, x = (
        ((at - at.mean() - of) / axis).astype(np.float32)
        for at, of, axis in zip(places, centre, semi_axes, strict=True)
    )
    box = [np.flatnonzero(np.abs(one) <= 1) for one in (z, y, x)]
    low = [max(int(one[0]) - 1, 0) for one in box]
    z, y, x = (one[first : int(at[-1]) + 2] for one, first, at in zip((z, y, x), low, box, strict=True))
    away = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2)
    return StructureField(np.float32(min(semi_axes)) * (1 - away), (low[0], low[1], low[2]))
