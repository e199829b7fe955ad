import numpy as np
import pytest
import torch

from models.native_field import cropped, field_on_ct, margin, margin_over_threshold
from models.preprocess import network_grid
from models.volume import CtVolume


def sphere_margin(grid, radius_mm, center_zyx_mm=(0.0, 0.0, 0.0)):
    """Distance inside a sphere at the network's voxels; the straight grid's middle is the origin."""
    axes = [
        (np.arange(grid.axes[a].count) - (grid.axes[a].count - 1) / 2) * grid.axes[a].spacing_mm
        for a in grid.order
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    c = center_zyx_mm
    distance = np.sqrt((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2)
    return (radius_mm - distance).astype(np.float32)


def test_the_margin_is_zero_where_two_classes_are_equally_likely():
    own, best = torch.tensor([0.5, 0.8, 0.0]), torch.tensor([0.5, 0.1, 1.0])
    np.testing.assert_allclose(margin(own, best), [0, np.log(8), np.log(1e-4)], rtol=1e-5)


def test_the_crop_leaves_one_voxel_around_what_is_positive():
    field = np.full((6, 7, 8), -1.0, np.float32)
    field[2:4, 3, 0:2] = 1
    part, corner = cropped(field)
    assert corner == (1, 2, 0)
    assert part.shape == (4, 3, 3)
    assert cropped(-np.abs(field)) is None


def test_a_sphere_comes_back_where_it_was_in_every_orientation(make_grid, every_orientation):
    straight = CtVolume(np.zeros((30, 44, 40), np.int16), make_grid((30, 44, 40), (2.0, 1.5, 1.5)))
    center = (6.0, -4.5, 9.0)
    expected = None
    for orientation in every_orientation:
        turned = orientation.of(straight)
        grid = network_grid(turned.grid, (4.0, 3.0, 3.0))
        field = field_on_ct(*cropped(sphere_margin(grid, 14.0, center)), grid)
        found = orientation.undone(field.mask(turned.hu.shape))
        if expected is None:
            expected = found
            volume = field.volume_cm3(turned.grid)
            assert volume == pytest.approx(4 / 3 * np.pi * 14**3 / 1000, rel=0.04)
            center_found = np.argwhere(found).mean(axis=0) - (np.array(found.shape) - 1) / 2
            np.testing.assert_allclose(center_found * (2.0, 1.5, 1.5), center, atol=0.2)
        assert (found == expected).all()


def test_the_field_is_cropped_with_a_negative_margin(make_grid):
    grid = network_grid(make_grid((30, 44, 40), (2.0, 1.5, 1.5)), (4.0, 3.0, 3.0))
    field = field_on_ct(*cropped(sphere_margin(grid, 14.0)), grid)
    for axis in range(3):
        assert (field.field.take([0, -1], axis) <= 0).all()
    assert (field.field > 0).any(axis=(1, 2))[1:-1].all()
    assert field.field.size < 30 * 44 * 40 / 3


def test_a_structure_that_leaves_the_volume_reaches_its_last_slice(make_grid):
    grid = network_grid(make_grid((30, 44, 40), (2.0, 1.5, 1.5)), (4.0, 3.0, 3.0))
    field = field_on_ct(*cropped(sphere_margin(grid, 14.0, (30.0, 0.0, 0.0))), grid)
    assert field.slices_zyx[0].stop == 30
    assert (field.field[-1] > 0).any()


def test_what_falls_between_the_cts_voxels_is_not_a_structure(make_grid):
    grid = network_grid(make_grid((4, 4, 4), (10.0, 10.0, 10.0)), (2.0, 2.0, 2.0))
    field = np.full((20, 20, 20), -1.0, np.float32)
    field[0, 0, 0] = 0.1
    assert field_on_ct(*cropped(field), grid) is None


def test_on_the_cts_own_voxels_nothing_is_interpolated(make_grid, every_orientation):
    straight = CtVolume(np.zeros((9, 11, 10), np.int16), make_grid((9, 11, 10), (2.0, 1.5, 1.5)))
    answer = np.random.default_rng(5).normal(-0.5, 1, (9, 11, 10)).astype(np.float32)
    for orientation in every_orientation:
        turned = orientation.of(straight)
        grid = network_grid(turned.grid, (None, None, None))
        field = field_on_ct(*cropped(answer), grid)
        found = np.full(turned.hu.shape, -1, np.float32)
        found[field.slices_zyx] = field.field
        np.testing.assert_array_equal(orientation.undone(found) > 0, answer > 0)
        assert set(field.field[field.field > 0]) == set(answer[answer > 0])


def test_a_sigmoid_outputs_surface_lies_at_its_threshold():
    own = torch.tensor([0.2, 0.5, 0.8, 1.0])
    np.testing.assert_allclose(
        margin_over_threshold(own, 0.2), np.array([0, np.log(4), np.log(16), np.log(9999 * 4)]), atol=1e-3
    )
