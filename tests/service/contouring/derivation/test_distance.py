"""Distances from planes, balls and cubes are those on paper, whatever the spacing of the slices."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from drawn_structures import as_field, ball

from models.volume import StructureField
from service.contouring.derivation.distance import Gauge, Lattice, signed_distance, surface_distance
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, stacked_grid

UNEVEN_MM = np.array([0.0, 3.0, 6.0, 11.0, 13.0, 16.5, 18.0, 21.0, 26.0, 29.0])


def whole(lattice: Lattice) -> tuple[slice, slice, slice]:
    z, y, x = lattice.shape_zyx
    return slice(0, z), slice(0, y), slice(0, x)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("at_mm", [9.3, 12.0])
def test_the_distance_from_a_plane_is_exact_on_uneven_slices(axis, at_mm):
    """Every step of the slices counts with its own length."""
    lattice = Lattice((UNEVEN_MM, np.arange(30) * 0.9, np.arange(28) * 1.2))
    shape = [1, 1, 1]
    shape[axis] = -1
    inside = np.broadcast_to((at_mm - lattice.places_mm[axis]).reshape(shape), lattice.shape_zyx)
    part = StructureField(np.ascontiguousarray(inside, np.float32), (0, 0, 0))
    found = signed_distance(part, lattice, whole(lattice), 40.0)
    np.testing.assert_allclose(found, inside, atol=2e-5)


def test_beyond_its_reach_the_distance_is_the_reach_and_a_voxel():
    lattice = Lattice((UNEVEN_MM, np.arange(30) * 0.9, np.arange(60) * 1.0))
    inside = np.broadcast_to(10.25 - lattice.places_mm[2], lattice.shape_zyx).astype(np.float32)
    found = signed_distance(StructureField(inside, (0, 0, 0)), lattice, whole(lattice), 4.0)
    near = np.abs(inside) <= 5.0
    np.testing.assert_allclose(found[near], inside[near], atol=2e-5)
    assert (found[inside < -9].min(), found[inside > 9].max()) == (-9.0, 9.0)


@pytest.mark.parametrize(
    ("slices_mm", "mean_mm", "worst_mm"),
    [(1.0, 0.03, 0.10), (2.0, 0.04, 0.12), (3.0, 0.06, 0.15), (5.0, 0.10, 0.22)],
)
def test_the_distance_from_a_ball_is_nearer_than_voxels_are(slices_mm, mean_mm, worst_mm):
    """A ball of 20 mm about a point between voxels, 4 to 6 mm outside; an exact map of voxels is far worse."""
    grid = patient_grid("HFS", shape_zyx=(int(64 / slices_mm), 64, 64), spacing_zyx_mm=(slices_mm, 1.0, 1.0))
    middle = grid.positions_lps_mm(grid.shape_zyx[0] // 2, np.array(31.8), np.array(32.3))
    true = ball(grid, middle + np.array([0, 0, 0.4]), 20.0)
    lattice = Lattice.of(grid)
    near = np.abs(true + 5) < 1
    error = np.abs(signed_distance(as_field(true), lattice, whole(lattice), 6.0) - true)[near]
    assert error.mean() < mean_mm
    assert error.max() < worst_mm
    image = sitk.GetImageFromArray((true > 0).astype(np.uint8))
    image.SetSpacing((1.0, 1.0, slices_mm))
    theirs = -sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    )
    assert error.mean() < np.abs(theirs - true)[near].mean() / 4


def test_a_map_of_voxels_agrees_to_a_voxel():
    """SimpleITK's exact distance to the voxels of a mask differs from that to its surface by half of one."""
    grid = patient_grid("HFS", shape_zyx=(24, 50, 50), spacing_zyx_mm=(2.5, 1.0, 1.0))
    mask = ball(grid, grid.positions_lps_mm(12, np.array(25.0), np.array(25.0)), 14.0) > 0
    lattice = Lattice.of(grid)
    ours = signed_distance(StructureField.of_mask(mask), lattice, whole(lattice), 20.0)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing((1.0, 1.0, 2.5))
    theirs = -sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    )
    outside = ~mask & (ours > -18)
    difference = (ours - theirs)[outside]
    assert (np.abs(difference) <= 1.25 + 1e-3).all()  # half of the longest side
    assert difference.mean() == pytest.approx(0.5, abs=0.25)


def test_only_the_box_asked_for_is_looked_at_and_says_the_same():
    grid = patient_grid("HFS", shape_zyx=(20, 40, 40), spacing_zyx_mm=(3.0, 1.0, 1.0))
    part = as_field(ball(grid, grid.positions_lps_mm(10, np.array(20.0), np.array(20.0)), 9.0))
    lattice = Lattice.of(grid)
    box = (slice(8, 15), slice(3, 22), slice(18, 31))
    full = signed_distance(part, lattice, whole(lattice), 6.0)
    near = np.abs(full[box]) <= 6.0  # the reach
    np.testing.assert_allclose(signed_distance(part, lattice, box, 6.0)[near], full[box][near], atol=1e-5)


def test_the_edge_of_the_ct_is_no_surface():
    lattice = Lattice((np.arange(10) * 3.0, np.arange(10) * 1.0, np.arange(10) * 1.0))
    part = StructureField(np.ones((10, 10, 10), np.float32), (0, 0, 0))
    assert (signed_distance(part, lattice, whole(lattice), 5.0) == 8.0).all()


def test_a_gauge_counts_each_direction_by_its_own_measure():
    """Of a slab from 10.5 to 20.5 mm: 4 mm towards higher columns and 2 mm towards lower ones count as one."""
    lattice = Lattice((np.arange(6) * 3.0, np.arange(8) * 1.0, np.arange(32) * 1.0))
    x = lattice.places_mm[2]
    inside = np.broadcast_to(5.0 - np.abs(x - 15.5), lattice.shape_zyx).astype(np.float32)
    gauge = Gauge((3.0, 3.0, 2.0), (3.0, 3.0, 4.0))
    part = StructureField(inside, (0, 0, 0))
    outside = surface_distance(part, lattice, whole(lattice), gauge)
    assert outside[3, 4, 23] == pytest.approx(2.5 / 4)
    assert outside[3, 4, 9] == pytest.approx(1.5 / 2)
    within = surface_distance(part, lattice, whole(lattice), gauge.mirrored)
    assert within[3, 4, 19] == pytest.approx(1.5 / 4)  # counted towards the surface that is nearer
    assert within[3, 4, 11] == pytest.approx(0.5 / 2)


def test_prone_and_supine_have_the_same_lattice():
    spacing = np.arange(6) * 2.0
    grids = [
        stacked_grid(ORIENTATIONS[p], spacing, shape_yx=(10, 12), spacing_yx_mm=(1.5, 0.8))
        for p in ("HFS", "HFP")
    ]
    for one, other in zip(*(Lattice.of(grid).places_mm for grid in grids), strict=True):
        np.testing.assert_allclose(one, other)
