"""What is found without the processor is what the processor finds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import found_structures
from models.cards.card import PostprocessCard
from models.network_answer import NetworkAnswer
from models.network_run import NetworkRun
from models.postprocess import postprocess
from models.postprocess_together import filled, with_parts_only
from models.volume import CtVolume

ON_GPU = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")],
)
NAMES = ("Bladder", "Rectum", "Prostate")
STEPS = {
    "nothing": {},
    "small parts": {"minimum_cm3": 0.5},
    "largest": {"largest_component": True},
    "largest, filled": {"largest_component": True, "fill_holes": True, "minimum_cm3": 0.2},
    "filled over corners": {"fill_holes": True, "hole_connectivity": 26},
    "nothing is left": {"minimum_cm3": 1e6},
}


def card_with(network_bundle, steps, **changes):
    structures = {
        name: {"extent": "by chance", "volume_cm3": [0.001, 1e6], "postprocess": steps} for name in NAMES
    }
    return network_bundle(NAMES, structures=structures, **changes)


def noise(make_grid):
    coarse = np.random.default_rng(4).normal(0, 500, (5, 6, 9)).repeat(3, 0).repeat(4, 1).repeat(4, 2)
    return CtVolume(coarse.astype(np.int16), make_grid(coarse.shape, (2.5, 2.0, 1.8)))


def found_of(answer):
    fresh = replace(answer)  # nothing of it is known yet
    return dict(found_structures.FoundStructures(answer.card, fresh).of(list(answer.card.structures)))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_structures_found_together_are_those_found_one_by_one(
    activation, network_bundle, make_grid, monkeypatch
):
    outputs = ["background" if activation == "softmax" else "other", *NAMES]
    card = card_with(network_bundle, {}, activation=activation, outputs=outputs)
    answer = NetworkRun(card, torch.device("cpu")).run(noise(make_grid), lambda part: None)
    logits = torch.randn(answer.probabilities.shape, generator=torch.Generator().manual_seed(1)) - 1.3
    logits[0] += 1.5  # each structure is in a part of all voxels, scattered: many parts
    likely = logits.softmax(dim=0) if activation == "softmax" else logits.sigmoid()
    answer = replace(answer, blended=replace(answer.blended, probabilities=likely))
    for what, steps in STEPS.items():
        structures = {n: replace(s, postprocess=PostprocessCard(**steps)) for n, s in card.structures.items()}
        answer = replace(answer, card=replace(card, structures=structures))
        with monkeypatch.context() as patch:
            expected = found_of(answer)
            patch.setattr(NetworkAnswer, "stays_on_gpu", True)
            for together in (32_000_000, 1):
                patch.setattr(found_structures, "_VOXELS_TOGETHER", together)
                found = found_of(answer)
                assert set(found) == set(expected) == set(NAMES)
                assert any(one.field for one in expected.values()) == (what != "nothing is left")
                for name, one in expected.items():
                    assert len(one.parts_cm3) > 1
                    np.testing.assert_allclose(found[name].parts_cm3, one.parts_cm3)
                    assert (found[name].field is None) == (one.field is None)
                    if one.field is not None:
                        assert found[name].field.corner_zyx == one.field.corner_zyx
                        np.testing.assert_array_equal(found[name].field.field, one.field.field)


def test_no_more_are_found_together_than_memory_allows(network_bundle, make_grid, monkeypatch):
    card = card_with(network_bundle, {"fill_holes": True})
    answer = NetworkRun(card, torch.device("cpu")).run(noise(make_grid), lambda part: None)
    monkeypatch.setattr(NetworkAnswer, "stays_on_gpu", True)
    sizes = []
    real = found_structures.fields_on_ct

    def seen(margins, corners, grid):
        sizes.append(len(margins))
        return real(margins, corners, grid)

    monkeypatch.setattr(found_structures, "fields_on_ct", seen)
    for limit in (32_000_000, 1):
        monkeypatch.setattr(found_structures, "_VOXELS_TOGETHER", limit)
        assert len(list(found_structures.FoundStructures(card, answer).of(list(card.structures)))) == 3
    assert sizes == [3, 1, 1, 1]


def cube_with_a_cavity(opening):
    margin = np.full((7, 8, 9), -2.0, np.float32)
    margin[1:6, 1:6, 1:6] = 2
    margin[3, 3, 3] = -1
    margin[opening] = -1
    return margin


@pytest.mark.parametrize("device", ["cpu", ON_GPU])
@pytest.mark.parametrize("connectivity", [6, 26])
def test_cavities_of_several_structures_are_filled_and_bays_are_not(connectivity, device):
    """A closed one, one that opens over a face, one that opens over corners alone, and one at the border."""
    faces, corners = (slice(1, 3), 3, 3), ([1, 2], [1, 2], [1, 2])
    margins = [cube_with_a_cavity(at) for at in ((3, 3, 3), faces, corners)]
    margins.append(cube_with_a_cavity((3, 3, 3))[3:, 1:6, 1:6])
    card = PostprocessCard(fill_holes=True, hole_connectivity=connectivity)
    expected = [postprocess(margin.copy(), card, 1.0)[0] for margin in margins]
    found = filled([torch.from_numpy(margin).to(device) for margin in margins], connectivity)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.cpu().numpy(), other)
    inside = [int((one > 0).sum()) for one in found]
    assert inside == [125, 122, 124 if connectivity == 6 else 122, 74]


@pytest.mark.parametrize("device", ["cpu", ON_GPU])
@pytest.mark.parametrize(
    ("numbers", "expected"), [([2], [-1.0, 2.0, -3.0, -4.0]), ([1, 3], [1.0, -2.0, 3.0, -4.0])]
)
def test_parts_that_do_not_stay_change_their_sign(numbers, expected, device):
    margin = torch.tensor([[[1.0, 2.0, 3.0, -4.0]]], device=device)
    labels = torch.tensor([[[1, 2, 3, 0]]], dtype=torch.int32, device=device)
    assert with_parts_only(margin, labels, np.array(numbers)).flatten().tolist() == expected
