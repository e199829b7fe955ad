import cc3d
import numpy as np
import torch

from models import network_answer
from models.network_answer import parts_of
from models.network_run import NetworkRun
from models.volume import CtVolume


def test_parts_know_their_voxels_and_the_box_around_some_of_them():
    mask = np.zeros((6, 7, 8), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True  # they touch at a corner
    mask[4, 2:5, 6] = True
    parts = parts_of(mask)
    order = np.argsort(parts.voxels)
    assert parts.voxels[order].tolist() == [2, 3]
    assert parts.bounds[order][1].tolist() == [[4, 4], [2, 4], [6, 6]]
    assert parts.box_of(parts.voxels == 3) == (slice(3, 6), slice(1, 6), slice(5, 8))
    assert parts.box_of(parts.voxels == 2) == (slice(0, 3), slice(0, 3), slice(0, 3))
    assert parts.box_of(parts.voxels > 3) is None


def test_parts_of_an_output_of_softmax_are_those_of_its_own_voxels(network_bundle, make_grid):
    hu = np.random.default_rng(0).normal(0, 400, (16, 24, 24)).astype(np.int16)
    answer = NetworkRun(network_bundle(), torch.device("cpu")).run(
        CtVolume(hu, make_grid(hu.shape)), lambda part: None
    )
    for name in answer.card.outputs[1:]:
        own, found = parts_of(answer.margin(name) > 0), answer.parts(name)
        assert sorted(found.voxels.tolist()) == sorted(own.voxels.tolist())
        assert sorted(found.bounds.tolist()) == sorted(own.bounds.tolist())


def test_the_margin_of_a_box_is_that_part_of_the_margin(network_bundle, make_grid):
    hu = np.random.default_rng(1).normal(0, 400, (16, 24, 24)).astype(np.int16)
    answer = NetworkRun(network_bundle(), torch.device("cpu")).run(
        CtVolume(hu, make_grid(hu.shape)), lambda part: None
    )
    box = (slice(1, 4), slice(2, 6), slice(0, 5))
    for name in answer.card.outputs:
        assert np.array_equal(answer.margin(name, box), answer.margin(name)[box])


def test_few_and_many_parts_are_told_to_their_outputs_alike(monkeypatch):
    winner = np.random.default_rng(0).integers(0, 4, (6, 7, 8)).astype(np.uint8)
    labels = cc3d.connected_components(winner, connectivity=26)
    found = []
    for few in (0, 10_000):
        monkeypatch.setattr(network_answer, "_FEW_PARTS", few)
        found.append(network_answer._outputs_of(labels, winner, network_answer._statistics(labels)[1]))
    assert found[0][1:].tolist() == found[1][1:].tolist()
    assert set(found[0][1:].tolist()) == {1, 2, 3}
    assert (found[0][labels][labels > 0] == winner[labels > 0]).all()
