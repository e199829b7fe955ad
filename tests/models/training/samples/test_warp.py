import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from models.chance import Chance
from models.training.samples.warp import (
    View,
    Warp,
    looked_up_linear,
    looked_up_nearest,
    moved_points,
    rotation,
    smooth_bend,
)

CPU = torch.device("cpu")
QUARTER = math.pi / 2


def seen(image: torch.Tensor, warp: Warp, spacing_mm: tuple[float, ...] | None = None, padding: float = 0.0):
    """The whole of ``image`` through ``warp``, linearly and by nearest voxel."""
    view = View(tuple(image.shape), spacing_mm or (1.0,) * image.dim())
    centre = torch.tensor([(n - 1) / 2 for n in image.shape]).reshape(-1, *[1] * image.dim())
    at = warp.sources(view, CPU) + centre
    return looked_up_linear(image[None].float(), at, padding)[0], looked_up_nearest(image, at)


def both(image, warp, expected, **keywords):
    linear, nearest = seen(image, warp, **keywords)
    torch.testing.assert_close(linear, expected.float(), atol=1e-4, rtol=0)
    assert torch.equal(nearest, expected)


def test_without_a_warp_every_voxel_stays_where_it_is():
    image = torch.randint(0, 100, (3, 5, 4), generator=torch.Generator().manual_seed(0))
    both(image, Warp.none(3), image)
    assert not Warp.none(3).moves


def test_a_quarter_turn_in_a_slice_brings_the_left_to_the_back():
    """Rows run to posterior, columns to the left: what was at the last column is at the last row."""
    image = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    both(image, Warp.none(2).then(rotation([QUARTER])), torch.tensor([[7, 4, 1], [8, 5, 2], [9, 6, 3]]))


@pytest.mark.parametrize(
    ("radians_zyx", "start", "end"),
    [
        ((QUARTER, 0, 0), (1, 1, 2), (1, 2, 1)),  # about z: left to posterior
        ((0, QUARTER, 0), (2, 1, 1), (1, 1, 2)),  # about y: head to left
        ((0, 0, QUARTER), (1, 2, 1), (2, 1, 1)),  # about x: posterior to head
    ],
)
def test_a_quarter_turn_about_each_axis_is_right_handed(radians_zyx, start, end):
    image, expected = torch.zeros(3, 3, 3, dtype=torch.int64), torch.zeros(3, 3, 3, dtype=torch.int64)
    image[start], expected[end] = 7, 7
    both(image, Warp.none(3).then(rotation(radians_zyx)), expected)


def test_the_turn_about_x_is_done_first():
    """Posterior goes to the head about x, and from there to the left about y."""
    image, expected = torch.zeros(3, 3, 3, dtype=torch.int64), torch.zeros(3, 3, 3, dtype=torch.int64)
    image[1, 2, 1], expected[1, 1, 2] = 7, 7
    both(image, Warp.none(3).then(rotation((0, QUARTER, QUARTER))), expected)


def test_twice_as_large_everything_is_twice_as_far_from_the_centre():
    image = torch.zeros(1, 5, dtype=torch.int64)
    image[0, 3] = 8  # one voxel beyond the centre
    linear, nearest = seen(image, Warp.none(2).then(np.diag([1.0, 2.0])))
    assert linear[0].tolist() == [0, 0, 0, 4, 8]  # half way between two voxels, the mean of both
    assert nearest[0].tolist() == [0, 0, 0, 8, 8]


def test_millimetres_are_those_of_each_axis():
    """A quarter turn of a picture whose rows are twice as far apart as its columns."""
    image = torch.zeros(3, 5, dtype=torch.int64)
    image[1, 4] = 7  # 2 mm to the left of the centre, which is one row; a column is half of one
    linear, _ = seen(image, Warp.none(2).then(rotation([QUARTER])), (2.0, 1.0))
    expected = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 3.5, 7, 3.5, 0]])
    torch.testing.assert_close(linear, expected, atol=1e-4, rtol=0)


def test_beyond_the_image_there_is_padding():
    image = torch.arange(4).reshape(1, 4)
    linear, nearest = seen(image, Warp.none(2).then(np.eye(2), np.array([0.0, 2.0])), padding=-1000.0)
    assert linear[0].tolist() == pytest.approx([-1000, -1000, 0, 1], abs=1e-3)
    assert nearest[0].tolist() == [0, 0, 0, 1]


@given(st.floats(-1, 1), st.floats(0.7, 1.4), st.floats(-2, 2), st.integers(0, 99))
def test_looking_up_agrees_with_scipy(angle, scale, shift, seed):
    image = np.random.default_rng(seed).normal(0, 100, (6, 9))
    warp = Warp.none(2).then(rotation([angle])).then(np.eye(2) * scale, np.array([shift, -shift]))
    linear, _ = seen(torch.from_numpy(image), warp)
    centre = np.array([2.5, 4.0])
    offset = centre - warp.matrix @ centre + warp.shift_mm
    expected = ndimage.affine_transform(image, warp.matrix, offset, order=1, mode="grid-constant", cval=0.0)
    np.testing.assert_allclose(linear.numpy(), expected, atol=0.02)


def test_what_comes_second_acts_on_what_the_first_left():
    """Moved one to the left and then turned: what was at the centre is behind it. The other way: left of it."""
    image, behind, left = (torch.zeros(3, 3, dtype=torch.int64) for _ in range(3))
    image[1, 1], behind[2, 1], left[1, 2] = 7, 7, 7
    turn, move = rotation([QUARTER]), np.array([0.0, 1.0])
    both(image, Warp.none(2).then(np.eye(2), move).then(turn), behind)
    both(image, Warp.none(2).then(turn).then(np.eye(2), move), left)


def test_nearest_keeps_structures_together_that_touch():
    """Each voxel of a partition is in exactly one part after any warp that stays inside."""
    labels = torch.arange(12).repeat_interleave(4).reshape(1, 48).expand(48, 48).contiguous()
    warp = Warp.none(2).then(rotation([0.3])).then(np.eye(2) * 1.7)
    found = torch.stack([seen((labels == part).to(torch.uint8), warp)[1] for part in range(12)])
    assert (found[:, 8:40, 8:40].sum(0) == 1).all()


def test_three_points_say_where_everything_goes():
    """Centre and both points moved by hand: (0, 0) to (1, 0), (3, 0) to (5, 0), (0, 2) to (1, 2.5)."""
    view = View((9, 6), (1.0, 1.0))
    matrix, shift = moved_points(view, np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 0.5]]))
    np.testing.assert_allclose(matrix @ [3, 0] + shift, [5, 0])
    np.testing.assert_allclose(matrix @ [0, 2] + shift, [1, 2.5])
    np.testing.assert_allclose(matrix @ [3, 2] + shift, [5, 2.5])


def test_bending_moves_by_what_the_field_says():
    """A field that says one voxel to the left everywhere, seen from there: the picture moves to the right."""
    image = torch.arange(20).reshape(4, 5)
    bend = torch.zeros(2, 2, 2)
    bend[1] = 3.0
    _, nearest = seen(image, Warp.none(2).bent(bend), (3.0, 3.0))
    assert torch.equal(nearest[:, :4], image[:, 1:])


@pytest.mark.parametrize("view", [View((40, 40), (2.0, 2.0)), View((20, 24, 30), (3.0, 2.0, 2.0))])
def test_a_smooth_bend_is_as_large_and_as_smooth_as_asked(view):
    """Standard deviation, and the correlation of white noise under a Gaussian: exp(-d^2 / 4 s^2)."""
    smooth_mm = 8.0
    fields = [smooth_bend(view, smooth_mm, 2.5, Chance.of(1, n)) for n in range(150)]
    field = torch.stack(fields)
    assert field.shape[1] == len(view.shape)
    assert float(field.std()) == pytest.approx(2.5, rel=0.05)
    last = field.shape[-1]
    step_mm = (view.shape[-1] - 1) * view.spacing_mm[-1] / (last - 1)
    apart = round(smooth_mm / step_mm)
    found = (field[..., apart:] * field[..., :-apart]).mean() / field.square().mean()
    assert float(found) == pytest.approx(math.exp(-((apart * step_mm) ** 2) / (4 * smooth_mm**2)), abs=0.06)


def test_a_bend_over_a_single_slice_is_possible():
    assert smooth_bend(View((1, 8, 8), (3.0, 1.0, 1.0)), 10.0, 1.0, Chance.of(1, 1)).isfinite().all()
