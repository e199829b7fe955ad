"""Windows and weights on paper."""

import numpy as np
import pytest
import torch

from models.cards.card import BundleError
from models.cards.monai_card import (
    Crop,
    MonaiCard,
    Normalise,
    Orientation,
    Rescale,
    ScaleRange,
    Spacing,
    Window,
)
from models.runtimes.monai_run import window_places, window_weights, windowed
from models.runtimes.monai_steps import prepared, sampled
from models.volume import CtVolume, Grid, OutsideTrainedRegion


def starts(size, roi, overlap):
    return [place[0].start for place in window_places((size, 4, 4), (roi, 4, 4), (overlap, 0.0, 0.0))]


@pytest.mark.parametrize(
    ("size", "roi", "overlap", "expected"),
    [
        (10, 4, 0.5, [0, 2, 4, 6]),
        (11, 4, 0.5, [0, 2, 4, 6, 7]),  # the last ends with the image
        (10, 4, 0.25, [0, 3, 6]),
        (4, 4, 0.5, [0]),
        (6, 4, 0.9, [0, 1, 2]),  # a step of one voxel at least
    ],
)
def test_windows_are_a_step_apart_and_the_last_ends_with_the_image(size, roi, overlap, expected):
    assert starts(size, roi, overlap) == expected


def test_weights_are_a_gaussian_about_the_middle():
    weights = window_weights((3, 1, 1), Window((3, 1, 1), mode="gaussian", sigma_scale=(0.5, 0.5, 0.5)))
    assert weights.flatten().tolist() == pytest.approx([np.exp(-0.5 / 1.5**2), 1, np.exp(-0.5 / 1.5**2)])
    assert (window_weights((2, 2, 2), Window((2, 2, 2))) == 1).all()


def test_overlapping_answers_are_averaged_and_padding_is_cut_off_again():
    """Each window answers with the sum of what it is shown: 4 ones, then 4 of which one is 5."""
    image = torch.ones(3, 1, 2)
    image[2, 0, 0] = 5
    window = Window((2, 1, 4), (0.5, 0.0, 0.0), padding_value=0.0)

    def network(shown):
        return shown.sum(dim=(2, 3, 4), keepdim=True).expand(-1, 1, 2, 1, 4)

    found = windowed(network, image, window, outputs=1)
    assert found.shape == (1, 3, 1, 2)
    assert found[0, :, 0, 0].tolist() == [4, 6, 8]


def test_an_answer_of_another_size_is_refused():
    with pytest.raises(BundleError) as refusal:
        windowed(lambda shown: shown[..., :1], torch.ones(4, 4, 4), Window((0, 0, 0)), outputs=1)
    assert refusal.value.code == "model.answer-invalid"


def line(values, mm=2.0):
    """A CT of one row and column, ``values`` from foot to head."""
    origins = np.zeros((len(values), 3))
    origins[:, 2] = np.arange(len(values)) * mm
    grid = Grid(origins, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), 1, 1)
    return CtVolume(np.array(values, np.int16).reshape(-1, 1, 1), grid)


def image_of(values, *steps, axes="SPL"):
    shown = prepared(line(values), MonaiCard(Window((0, 0, 0)), steps, axes))
    return shown.image[:, 0, 0].tolist(), shown


def test_a_ct_resampled_keeps_its_first_voxel_and_comes_back_linearly():
    """Every 2 mm to every 4: (5 - 1) * 2 / 4 + 1 = 3 voxels; back, those between are means."""
    found, shown = image_of([0, 10, 20, 30, 40], Spacing("spacing", (4.0, None, None)))
    assert found == [0, 20, 40]
    assert (shown.back[0] @ np.array([0, 20, 60])).tolist() == [0, 10, 20, 40, 60]


def test_orientation_turns_the_image_and_the_way_back():
    found, shown = image_of(
        [1, 2, 3, 4], Orientation("orientation", "IPL"), Spacing("spacing", (4.0, None, None))
    )
    assert found == [4, 2]  # the first voxel is now the one at the head
    assert shown.letters == "IPL"
    assert (shown.back[0] @ np.array([4, 2])).tolist() == [4, 3, 2, 2]


def test_what_was_cut_off_comes_back_as_nothing():
    found, shown = image_of([-5, 3, 0, 4, -1], Crop("crop"))
    assert found == [3, 0, 4]
    assert (shown.back[0] @ np.array([7, 8, 9])).tolist() == [0, 7, 8, 9, 0]
    with pytest.raises(OutsideTrainedRegion) as refusal:
        image_of([-5, -3], Crop("crop"))
    assert refusal.value.code == "region.only-air"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (ScaleRange("scale-range", -10, 10, (0.0, 1.0), clip=True), [0, 0.5, 1]),
        (ScaleRange("scale-range", -10, 10, (-1.0, 1.0)), [-2, 0, 2]),
        (Normalise("normalise", 5.0, 5.0), [-5, -1, 3]),
        (Normalise("normalise"), [-np.sqrt(1.5), 0, np.sqrt(1.5)]),
        (Normalise("normalise", nonzero=True), [-1, 0, 1]),
        (Rescale("rescale", (0.0, 2.0)), [0, 1, 2]),
    ],
)
def test_numbers_are_scaled_as_monai_does(step, expected):
    assert image_of([-20, 0, 20], step)[0] == pytest.approx(expected)


def test_the_nearest_voxel_half_way_is_the_even_one():
    assert sampled(4, np.array([0.4, 0.5, 1.5, 9.0]), nearest=True).argmax(axis=1).tolist() == [0, 0, 2, 3]
