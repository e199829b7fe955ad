"""What a contour must be: on the surface, on its own slice, and read back as the voxels it was cut from."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_structures import GRID, as_field, ball, pelvis, segmentation

from models.volume import StructureField
from service.contouring.contours import CLEARANCE_MM, contours_of, structure_contours
from service.contouring.polygons import area, keyholed
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, stacked_grid
from service.dicom.polygon_filling import rasterise
from service.errors import StructureSetInvalid

PLANE = patient_grid("HFS", shape_zyx=(1, 40, 50), spacing_zyx_mm=(3.0, 0.977, 0.977))


def plane_field(values: np.ndarray) -> StructureField:
    return StructureField(np.asarray(values, dtype=np.float32)[None], (0, 0, 0))


def drawn(values: np.ndarray, **options) -> list[np.ndarray]:
    """Polygons of one slice, in pixels, their millimetres rounded as in the file."""
    contours, _ = structure_contours(plane_field(values), PLANE, **options)
    return [np.round(contour.pixels * 0.977, 3) / 0.977 for contour in contours]


def smooth_noise(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.normal(size=(40, 50)))
    fy, fx = np.fft.fftfreq(40)[:, None], np.fft.rfftfreq(50)[None]
    return np.fft.irfft2(spectrum * np.exp(-((fx**2 + fy**2) * 80)), s=(40, 50)) * 20


def awkward(seed: int) -> np.ndarray:
    """Fields that meet pixel centres: of whole numbers, zeros among them, and of sizes that differ hugely."""
    kinds = {
        0: lambda: np.where(np.random.default_rng(seed).random((40, 50)) > 0.5, 1.0, -1.0),
        1: lambda: smooth_noise(seed),
        2: lambda: np.round(smooth_noise(seed)),
        3: lambda: (smooth_noise(seed) / 5) ** 9 * 10.0 ** (seed - 20),
    }
    return kinds[seed % 4]().astype(np.float32)


def test_the_contour_of_a_ball_lies_on_its_surface():
    field = as_field(ball(GRID, (1.3, -2.1, 0.7), 14.0))
    contours, dropped = structure_contours(field, GRID)
    assert dropped == 0
    radii = np.linalg.norm(np.concatenate([c.points_lps_mm for c in contours]) - (1.3, -2.1, 0.7), axis=1)
    assert abs(radii - 14.0).mean() < 0.01
    assert abs(radii - 14.0).max() < 0.1


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_contours_lie_on_the_surface_in_every_patient_position(position):
    grid = patient_grid(position, shape_zyx=(9, 40, 44), spacing_zyx_mm=(3.0, 1.2, 0.9))
    contours, _ = structure_contours(as_field(ball(grid, (3.3, -4.4, 1.1), 11.0)), grid)
    radii = np.linalg.norm(np.concatenate([c.points_lps_mm for c in contours]) - (3.3, -4.4, 1.1), axis=1)
    assert abs(radii - 11.0).max() < 0.1


def test_contours_of_an_oblique_uneven_stack_lie_in_the_plane_of_their_own_slice():
    offsets = [0, 2.5, 5, 7.5, 12.5, 17.5, 22.5]
    grid = stacked_grid(
        rotated(ORIENTATIONS["HFS"], (1, 2, 0.3), 17.0), offsets, shape_yx=(40, 40), spacing_yx_mm=(1.2, 0.9)
    )
    contours, _ = structure_contours(as_field(ball(grid, (0, 0, 0), 10.0)), grid)
    assert {contour.slice_index for contour in contours} == set(range(1, 6))
    for contour in contours:
        offset = contour.points_lps_mm - grid.slice_origins_lps_mm[contour.slice_index]
        assert abs(offset @ grid.normal).max() < 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_every_pixel_centre_is_on_the_side_that_its_field_says_even_after_rounding(seed):
    values = awkward(seed)
    assert (rasterise(drawn(values, keep_holes=True), 40, 50) == (values > 0)).all()


@pytest.mark.parametrize("seed", range(40))
def test_keyholes_enclose_the_same_voxels_as_rings(seed):
    values = awkward(seed)
    contours, _ = structure_contours(plane_field(values), PLANE, keep_holes=True)
    rings: dict[int, list[np.ndarray]] = {}
    for index, contour in enumerate(contours):
        rings.setdefault(index if contour.hole_of is None else contour.hole_of, []).append(contour.pixels)
    joined = [np.round(keyholed(outer, holes) * 0.977, 3) / 0.977 for outer, *holes in rings.values()]
    assert (rasterise(joined, 40, 50) == (values > 0)).all()


@pytest.mark.parametrize("seed", range(40))
def test_filling_leaves_no_hole_and_adds_nothing_outside(seed):
    from scipy.ndimage import binary_fill_holes

    values = awkward(seed)
    mask = rasterise(drawn(values), 40, 50)
    assert not (mask & ~binary_fill_holes(values > 0)).any()
    assert not (binary_fill_holes(values > 0, structure=np.ones((3, 3))) & ~mask).any()


@pytest.mark.parametrize("seed", range(0, 40, 3))
def test_no_vertex_comes_near_to_a_pixel_centre(seed):
    for contour in structure_contours(plane_field(awkward(seed)), PLANE, keep_holes=True)[0]:
        from_centre = np.abs(contour.pixels - np.rint(contour.pixels)).max(axis=1) * 0.977
        assert from_centre.min() >= CLEARANCE_MM * (1 - 1e-9)


def test_one_voxel_on_one_slice_is_a_diamond_about_its_centre():
    values = np.full((40, 50), -1.0)
    values[12, 30] = 1.0
    (diamond,) = structure_contours(plane_field(values), PLANE)[0]
    assert sorted(diamond.pixels.tolist()) == [[29.5, 12], [30, 11.5], [30, 12.5], [30.5, 12]]


def test_a_rectangular_mask_needs_eight_points():
    values = np.full((40, 50), -1.0)
    values[10:20, 5:35] = 1.0
    (outline,) = structure_contours(plane_field(values), PLANE)[0]
    assert len(outline.pixels) == 8


def test_a_structure_that_fills_the_image_is_closed_on_the_outer_edges_of_its_pixels():
    (outline,) = structure_contours(plane_field(np.ones((40, 50))), PLANE)[0]
    assert outline.pixels.min(axis=0).tolist() == [-0.5, -0.5]
    assert outline.pixels.max(axis=0).tolist() == [49.5, 39.5]
    assert abs(area(outline.pixels)) == pytest.approx(40 * 50 - 4 / 8)


def test_an_island_in_a_filled_hole_is_not_drawn_again():
    rows, columns = np.mgrid[:40, :50]
    radius = np.hypot(rows - 20, columns - 25)
    ring_and_island = np.where(radius < 4, 1.0, np.where(radius < 9, -1.0, np.where(radius < 15, 1.0, -1.0)))
    assert len(structure_contours(plane_field(ring_and_island), PLANE)[0]) == 1
    outer, hole, island = structure_contours(plane_field(ring_and_island), PLANE, keep_holes=True)[0]
    assert (outer.hole_of, hole.hole_of, island.hole_of) == (None, 0, None)


def test_simplifying_saves_points_and_stays_within_its_tolerance():
    field = as_field(ball(GRID, (1.3, -2.1, 0.7), 14.0))
    every, _ = structure_contours(field, GRID)
    fewer, _ = structure_contours(field, GRID, tolerance_mm=0.05)
    assert sum(len(c.pixels) for c in fewer) < sum(len(c.pixels) for c in every) * 0.7
    radii = np.linalg.norm(np.concatenate([c.points_lps_mm for c in fewer]) - (1.3, -2.1, 0.7), axis=1)
    assert abs(radii - 14.0).max() < 0.1


def test_what_encloses_nothing_is_dropped_and_counted():
    values = np.full((40, 50), -1.0)
    values[12, 30] = 1.0
    contours = contours_of(
        segmentation({"Bladder": plane_field(values), "Rectum": plane_field(np.full((40, 50), -1.0))}),
        PLANE,
        tolerance_mm=5.0,
    )
    assert contours.structures == {}
    assert contours.dropped == {"Bladder": 1}


def test_a_structure_on_one_slice_survives():
    contours = contours_of(segmentation(pelvis()), GRID)
    assert [contour.slice_index for contour in contours.structures["Uterus"]] == [7]


def test_infinite_values_are_taken_as_certain():
    values = np.full((40, 50), -np.inf)
    values[10:20, 5:35] = np.inf
    (outline,) = structure_contours(plane_field(values), PLANE)[0]
    assert outline.pixels.min(axis=0).tolist() == [4.5, 9.5]


def test_a_field_with_values_that_are_not_numbers_is_refused():
    values = np.full((40, 50), -1.0)
    values[10:20, 5:35] = 1.0
    values[15, 15] = np.nan
    with pytest.raises(StructureSetInvalid) as refusal:
        structure_contours(plane_field(values), PLANE)
    assert refusal.value.code == "contours.not-a-number"


def test_a_field_outside_the_ct_is_refused():
    with pytest.raises(StructureSetInvalid) as refusal:
        structure_contours(StructureField(np.ones((1, 4, 4), np.float32), (0, 38, 0)), PLANE)
    assert refusal.value.code == "contours.outside-grid"
