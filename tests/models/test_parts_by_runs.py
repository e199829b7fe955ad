import cc3d
import numpy as np
import pytest
import torch

from models.parts_by_runs import parts_by_runs

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
        ],
    ),
]


def volume(kind, shape=(9, 11, 13)):
    rng = np.random.default_rng(3)
    if kind == "mask":
        return rng.random(shape) < 0.35
    if kind == "classes":
        return rng.integers(0, 4, shape).astype(np.uint8)
    if kind == "blobs":
        return rng.integers(0, 5, (4, 4, 4)).repeat(3, 0).repeat(3, 1).repeat(4, 2).astype(np.uint8)
    spiral = np.zeros(shape, bool)
    spiral[4, ::2] = True
    spiral[4, 1::4, -1] = spiral[4, 3::4, 0] = True
    return spiral


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("connectivity", [6, 26])
@pytest.mark.parametrize("kind", ["mask", "classes", "blobs", "snake"])
def test_the_same_parts_as_those_of_connected_components_3d(kind, connectivity, device):
    classes = volume(kind)
    found = parts_by_runs(torch.from_numpy(classes).to(device), connectivity)
    expected = cc3d.connected_components(classes, connectivity=connectivity)
    np.testing.assert_array_equal(found.labels.cpu().numpy() > 0, expected > 0)
    assert expected.max() == len(found.voxels)
    pairs = np.unique(np.stack([expected.ravel(), found.labels.cpu().numpy().ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(expected))  # one name here for each name there
    for n, (of_class, voxels, bounds) in enumerate(
        zip(found.classes, found.voxels, found.bounds, strict=True), 1
    ):
        at = np.argwhere(found.labels.cpu().numpy() == n)
        assert voxels == len(at)
        np.testing.assert_array_equal(bounds, np.stack([at.min(axis=0), at.max(axis=0)], axis=1))
        assert set(classes[tuple(at.T)].tolist()) == {of_class}


def test_parts_are_numbered_in_the_order_of_their_first_voxels():
    mask = torch.zeros(2, 3, 5, dtype=torch.bool)
    mask[0, 2, 4] = mask[0, 0, 3] = mask[1, 0, 0] = True
    found = parts_by_runs(mask, 26)
    assert [int(found.labels[at]) for at in ((0, 0, 3), (0, 2, 4), (1, 0, 0))] == [1, 2, 3]
    assert found.voxels.tolist() == [1, 1, 1]


def test_over_a_corner_there_are_two_parts_or_one():
    mask = torch.zeros(2, 2, 2, dtype=torch.bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert len(parts_by_runs(mask, 6).voxels) == 2
    assert parts_by_runs(mask, 26).voxels.tolist() == [2]


def test_of_nothing_there_is_no_part():
    found = parts_by_runs(torch.zeros(2, 3, 4, dtype=torch.uint8), 26)
    assert len(found.voxels) == 0
    assert found.bounds.shape == (0, 3, 2)
    assert not found.labels.any()
