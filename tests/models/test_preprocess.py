import numpy as np
import pytest
import torch

from models.cards.input_card import Channel, InputCard
from models.preprocess import channels, network_grid, padded, to_network
from models.volume import CtVolume, Grid, OutsideTrainedRegion


def on_network(hu, grid, spacing):
    volume = CtVolume(np.asarray(hu, np.float32), grid)
    return to_network(volume, network_grid(grid, spacing), torch.device("cpu")).numpy()


def test_the_same_spacing_changes_nothing(make_grid):
    hu = np.random.default_rng(0).normal(0, 300, (5, 6, 7))
    np.testing.assert_allclose(on_network(hu, make_grid((5, 6, 7)), (3, 2, 2)), hu, atol=1e-3)


def test_finer_pixels_are_averaged_over_the_networks_voxel(make_grid):
    hu = np.zeros((1, 2, 4))
    hu[0] = [[0, 100, 200, 300], [0, 100, 200, 300]]
    found = on_network(hu, make_grid((1, 2, 4), (4.0, 2.0, 2.0)), (4, 4, 4))
    np.testing.assert_allclose(found, [[[50, 250]]], atol=1e-4)


def test_coarser_slices_are_interpolated_at_their_real_positions(make_grid):
    grid = make_grid((3, 1, 1), (6.0, 2.0, 2.0))
    found = on_network(np.array([0, 60, 120]).reshape(3, 1, 1), grid, (3, 2, 2))
    np.testing.assert_allclose(found[:, 0, 0], [0, 15, 45, 75, 105, 120], atol=1e-4)


def test_uneven_slices_keep_a_linear_ramp_linear(make_grid):
    """Slices at 0, 2, 4, 10, 16 mm with the HU of their position: the network sees the position itself."""
    grid = make_grid((5, 1, 1), (2.0, 2.0, 2.0))
    grid.slice_origins_lps_mm[:, 2] = [0, 2, 4, 10, 16]
    hu = grid.slice_origins_lps_mm[:, 2].reshape(5, 1, 1)
    axis = network_grid(grid, (3, 2, 2)).axes[0]
    found = on_network(hu, grid, (3, 2, 2))[:, 0, 0]
    inner = (axis.network_centers_mm > 0) & (axis.network_centers_mm < 16)
    np.testing.assert_allclose(found[inner], axis.network_centers_mm[inner], atol=0.51)


def test_numbers_beyond_what_scanners_store_are_clipped(make_grid):
    found = on_network(np.array([-3024.0, 30000.0]).reshape(1, 1, 2), make_grid((1, 1, 2)), (3, 2, 2))
    assert found.ravel().tolist() == [-1024, 3071]


def test_the_networks_axes_run_to_head_posterior_and_left_however_the_array_lies(
    make_grid, every_orientation
):
    hu = np.random.default_rng(1).normal(0, 300, (6, 10, 8)).astype(np.float32)
    straight = CtVolume(hu, make_grid(hu.shape, (3.0, 2.5, 2.0)))
    expected = on_network(hu, straight.grid, (5, 4, 4))
    assert expected.shape == (4, 7, 4)
    for orientation in every_orientation:
        turned = orientation.of(straight)
        found = on_network(turned.hu, turned.grid, (5, 4, 4))
        np.testing.assert_allclose(found, expected, atol=1e-2)


def test_a_slightly_tilted_stack_is_taken_and_a_strongly_tilted_one_is_not(make_grid):
    for degrees, taken in ((20, True), (30, False)):
        angle = np.radians(degrees)
        row = np.array([0.0, np.cos(angle), np.sin(angle)]) * 2
        grid = make_grid((4, 8, 8))
        normal = np.cross([1.0, 0, 0], row) / 2
        tilted = Grid(np.arange(4)[:, None] * 3 * normal, np.array([2.0, 0, 0]), row, grid.rows, grid.columns)
        if taken:
            assert network_grid(tilted, (3, 2, 2)).order == (0, 1, 2)
        else:
            with pytest.raises(OutsideTrainedRegion) as refusal:
                network_grid(tilted, (3, 2, 2))
            assert refusal.value.code == "model.oblique"


def test_channels_are_clipped_shifted_and_scaled_as_declared():
    hu = torch.tensor([[[-2000.0, 20.0, 260.0]]])
    found = channels(hu, [Channel((-1000, 1500), 0, 500), Channel((-180, 260), 20, 100)])
    assert found.shape == (2, 1, 1, 3)
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([[-2.0, 0.04, 0.52], [-2.0, 0.0, 2.4]]))


def test_padding_surrounds_the_ct_evenly():
    card = InputCard((1, 1, 1), (4, 2, 5), 0.5, -1000, ())
    large, inside = padded(torch.zeros(2, 3, 2), card)
    assert large.shape == (4, 3, 5)
    assert inside == (slice(1, 3), slice(0, 3), slice(1, 3))
    assert large[inside].abs().sum() == 0
    assert int((large == -1000).sum()) == 4 * 3 * 5 - 12


def test_without_a_spacing_the_cts_own_voxels_are_kept_even_uneven_ones(make_grid):
    grid = make_grid((4, 2, 3), (2.0, 2.0, 1.0))
    grid = Grid(
        grid.slice_origins_lps_mm + np.array([[0, 0, 0], [0, 0, 0], [0, 0, 3], [0, 0, 9]]),
        grid.column_step_lps_mm,
        grid.row_step_lps_mm,
        2,
        3,
    )
    hu = np.random.default_rng(2).integers(-500, 500, (4, 2, 3))
    np.testing.assert_array_equal(on_network(hu, grid, (None, None, None)), hu)
    found = network_grid(grid, (None, 4.0, None))
    assert found.axes[0].network_centers_mm.tolist() == [0, 2, 7, 15]
    assert [axis.count for axis in found.axes] == [4, 1, 3]
    assert found.spacing_zyx_mm == pytest.approx((5.0, 4.0, 1.0))  # slices: (15 + (2 + 8) / 2) / 4
