import math

import numpy as np
import pytest
import torch

from models.cards.input_card import Channel
from models.chance import Chance
from models.training.recipes.recipe import Named
from models.training.recipes.recipe_book import RecipeInvalid
from models.training.samples.augmentation import AUGMENTATIONS, Augmentations
from models.training.samples.augmentation_kinds import (
    Colour,
    Drawn,
    Elastic,
    Flip,
    HuShift,
    Noise,
    Rotation,
    Scale,
)
from models.training.samples.warp import View, Warp

SLICE, VOLUME = View((8, 8), (2.0, 2.0)), View((4, 8, 8), (3.0, 2.0, 2.0))
ARGUMENTS = {
    "rotation": {"radians_zyx": [0.15, 0.15, 0.15]},
    "scale": {"factor": [0.9, 1.1]},
    "affine": {"points_mm": 3},
    "elastic": {"smooth_mm": 6, "displacement_mm": 1},
    "hu-shift": {"hu": [-100, 100]},
    "noise": {"hu": [0, 20]},
}
EVERY = [Named(name, ARGUMENTS.get(name, {})) for name in AUGMENTATIONS]


def same(one: Drawn, other: Drawn) -> bool:
    return (
        np.array_equal(one.warp.matrix, other.warp.matrix)
        and np.array_equal(one.warp.shift_mm, other.warp.shift_mm)
        and (one.warp.bend_mm is None) == (other.warp.bend_mm is None)
        and (one.warp.bend_mm is None or torch.equal(one.warp.bend_mm, other.warp.bend_mm))
        and (one.mirrored, one.hu, one.noise_hu, one.contrast, one.brightness)
        == (other.mirrored, other.hu, other.noise_hu, other.contrast, other.brightness)
    )


@pytest.mark.parametrize("view", [SLICE, VOLUME])
def test_what_is_drawn_follows_from_seed_and_number(view):
    all_of_them = Augmentations.of(EVERY, ["Bladder"])
    one, again = (all_of_them.drawn(view, Chance.of(7, 3)) for _ in range(2))
    assert same(one, again)
    assert not same(one, all_of_them.drawn(view, Chance.of(7, 4)))
    assert not same(one, all_of_them.drawn(view, Chance.of(8, 3)))


def test_without_augmentation_nothing_happens():
    drawn = Augmentations().drawn(VOLUME, Chance.of(1, 1))
    hu = torch.randn(4, 8, 8)
    assert not drawn.warp.moves
    assert drawn.of_hu(hu, Chance.of(1, 1)) is hu
    assert drawn.of_channels(hu, [Channel((-100, 200), 50, 150)]) is hu


def drawn_of(step, view=VOLUME, count=400):
    return [Augmentations((step,)).drawn(view, Chance.of(1, n)) for n in range(count)]


def test_angles_fill_the_range_of_each_axis_and_no_more():
    """Turned about z alone, then about x alone: the angle stands in the matrix."""
    about_z = [d.warp.matrix for d in drawn_of(Rotation(radians_zyx=(0.15, 0.0, 0.0)))]
    angles = [math.atan2(m[2, 1], m[1, 1]) for m in about_z]
    assert -0.15 <= min(angles) < -0.14 < 0.14 < max(angles) <= 0.15
    assert all(m[0].tolist() == [1, 0, 0] for m in about_z)
    about_x = [d.warp.matrix for d in drawn_of(Rotation(degrees_zyx=(0.0, 0.0, 10.0)))]
    most = max(abs(math.atan2(m[1, 0], m[0, 0])) for m in about_x)
    assert math.radians(9.5) < most <= math.radians(10)


def test_a_slice_turns_about_z_alone():
    matrices = [d.warp.matrix for d in drawn_of(Rotation(radians_zyx=(0.15, 3.0, 3.0)), SLICE)]
    assert all(m.shape == (2, 2) and abs(math.atan2(m[1, 0], m[0, 0])) <= 0.15 for m in matrices)


def test_scale_is_the_same_along_every_axis():
    for drawn in drawn_of(Scale((0.9, 1.1)), count=20):
        factor = 1 / drawn.warp.matrix[0, 0]
        assert 0.9 <= factor <= 1.1
        np.testing.assert_allclose(drawn.warp.matrix, np.eye(3) / factor)


def test_probability_is_how_often_it_happens():
    mirrored = [d.mirrored for d in drawn_of(Flip(probability=0.25), count=2000)]
    assert 0.22 < sum(mirrored) / 2000 < 0.28
    assert not any(d.hu for d in drawn_of(HuShift((50, 100), probability=0.0)))


def test_flips_mirror_their_axis_and_only_along_x_does_left_become_right():
    for axis, place in (("z", 0), ("y", 1), ("x", 2)):
        drawn = drawn_of(Flip(axis, probability=1.0), count=1)[0]
        expected = np.eye(3)
        expected[place, place] = -1
        np.testing.assert_array_equal(drawn.warp.matrix, expected)
        assert drawn.mirrored == (axis == "x")
    twice = Augmentations((Flip(probability=1.0), Flip(probability=1.0))).drawn(SLICE, Chance.of(1, 1))
    assert not twice.mirrored
    assert not twice.warp.moves


def test_bending_follows_everything_affine_wherever_it_stands_in_the_list():
    turn, bend = Rotation(radians_zyx=(0.15, 0.0, 0.0)), Elastic(6.0, 1.0)
    drawn = Augmentations((bend, turn)).drawn(SLICE, Chance.of(1, 1))
    assert drawn.warp.bend_mm is not None
    still = Warp(np.eye(2), np.zeros(2), drawn.warp.bend_mm).sources(SLICE, torch.device("cpu"))
    turned = torch.from_numpy(drawn.warp.matrix).float()
    torch.testing.assert_close(
        drawn.warp.sources(SLICE, torch.device("cpu")), torch.tensordot(turned, still, dims=1)
    )


def test_hu_shift_and_noise_by_their_numbers():
    hu = torch.zeros(40, 40, 40)
    shifted = drawn_of(HuShift((-100, 100)), count=1)[0]
    assert -100 <= shifted.hu <= 100
    assert torch.equal(shifted.of_hu(hu, Chance.of(1, 1)), hu + shifted.hu)
    noisy = drawn_of(Noise((20, 20)), count=1)[0].of_hu(hu, Chance.of(1, 2))
    assert float(noisy.std()) == pytest.approx(20, rel=0.02)
    assert float(noisy.mean()) == pytest.approx(0, abs=0.5)


def test_colour_by_hand():
    """Window -100 to 200 as (HU - 50) / 150: -1 to 1. Mean 0, distances times 1.5, and a tenth of 2 added."""
    drawn = Drawn(Warp.none(2), contrast=1.5, brightness=0.1)
    x = torch.tensor([[[-0.8, -0.2, 0.2, 0.8]]])
    found = drawn.of_channels(x, [Channel((-100, 200), 50, 150)])
    torch.testing.assert_close(found, torch.tensor([[[-1.0, -0.1, 0.5, 1.0]]]))


def test_colour_stays_in_its_range_and_each_channel_of_each_slice_has_its_own_window():
    for drawn in drawn_of(Colour(brightness=0.2, contrast=0.3), count=50):
        assert 0.7 <= drawn.contrast <= 1.3
        assert -0.2 <= drawn.brightness <= 0.2
    two = [Channel((0, 10), 0, 1), Channel((0, 100), 0, 1)]
    x = torch.zeros(6, 2, 2)  # three slices of two channels
    found = Drawn(Warp.none(2), brightness=0.5).of_channels(x, two)
    assert found[:, 0, 0].tolist() == [5, 50, 5, 50, 5, 50]


def test_structures_change_sides_by_their_names():
    structures = ["Bladder", "Femur_Head_L", "A_Iliac_R", "Femur_Head_R", "A_Iliac_L", "Femur_Heads"]
    assert Augmentations.of([], structures).mirror == (0, 3, 4, 1, 2, 5)


def test_a_flip_with_one_side_of_a_pair_is_refused_and_without_the_flip_it_is_not():
    with pytest.raises(RecipeInvalid, match="Femur_Head_L would get the other side's voxels") as refused:
        Augmentations.of([Named("flip")], ["Bladder", "Femur_Head_L"])
    assert refused.value.code == "recipe.augmentation"
    assert Augmentations.of([Named("flip", {"axis": "y"})], ["Femur_Head_L"]).mirror == (0,)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("swirl", {}, "There is no augmentation swirl; choose one of rotation, scale"),
        ("scale", {"by": 2}, "augmentation.0.arguments must be made of the keys factor, probability"),
        ("scale", {"factor": [1.1, 0.9]}, "factor is a rising pair above 0"),
        ("rotation", {}, "give either degrees_zyx or radians_zyx"),
        ("flip", {"axis": "w"}, "one of z, y, x"),
        ("elastic", {"smooth_mm": 0, "displacement_mm": 1}, "smooth_mm must be above 0"),
    ],
)
def test_an_augmentation_that_cannot_be_had_is_refused_by_name(name, arguments, says):
    with pytest.raises(RecipeInvalid, match=says):
        Augmentations.of([Named(name, arguments)], ["Bladder"])
