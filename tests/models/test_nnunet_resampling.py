import numpy as np
import pytest
import torch
from scipy import ndimage

from models.cards.nnunet_card import Resampling
from models.nnunet_resampling import Resampler, apart_axis, matrix, new_shape

pytestmark = pytest.mark.runtimes


def by_scipy(image, shape, order):
    """What ``skimage.transform.resize`` does with edge extension and without antialiasing."""
    factors = [new / old for new, old in zip(shape, image.shape, strict=True)]
    found = ndimage.zoom(image, factors, order=order, mode="nearest", grid_mode=True)
    return np.clip(found, image.min(), image.max())


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("shape", [(9, 25, 14), (23, 8, 31), (12, 20, 17)])
def test_it_is_scipys_spline_on_every_axis(order, shape):
    image = np.random.default_rng(3).normal(size=(12, 20, 17))
    found = Resampler.between(image.shape, shape, Resampling(order), None).image(torch.from_numpy(image))
    np.testing.assert_allclose(found.numpy(), by_scipy(image, shape, order), atol=1e-6)


def test_halving_a_line_takes_the_mean_of_two_neighbours():
    assert matrix(4, 2, 1).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]


def test_slices_far_apart_are_resampled_each_by_itself_and_the_nearest_is_taken():
    image = np.random.default_rng(4).normal(size=(3, 10, 12))
    found = (
        Resampler.between(image.shape, (6, 15, 9), Resampling(3), 0).image(torch.from_numpy(image)).numpy()
    )
    for k in range(6):
        np.testing.assert_allclose(found[k], by_scipy(image[k // 2], (15, 9), 3), atol=1e-6)


@pytest.mark.parametrize(
    ("separate", "old_mm", "new_mm", "axis"),
    [
        (None, (5, 1, 1), (2, 1, 1), 0),
        (None, (3, 1, 1), (3, 1, 1), None),
        (None, (1, 1, 1), (1, 1, 4), 2),
        (None, (4, 4, 1), (1, 1, 1), None),
        (False, (5, 1, 1), (5, 1, 1), None),
        (True, (2, 1, 1), (1, 1, 1), 0),
    ],
)
def test_slices_are_far_apart_beyond_three_times(separate, old_mm, new_mm, axis):
    assert apart_axis(Resampling(3, 0, separate), old_mm, new_mm) == axis


def test_the_new_shape_keeps_the_extent():
    assert new_shape((30, 44, 48), (3.0, 2.0, 2.0), (2.5, 2.2, 2.2)) == (36, 40, 44)
