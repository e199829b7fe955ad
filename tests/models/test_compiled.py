"""A compiled network says what it says layer by layer; whatever is not compiled is not waited for."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from models.compiled import CompiledNetwork, NotCompiled, can_compile
from models.predictor import load
from models.volume import CtVolume

CPU = torch.device("cpu")

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # the compiler's own
    pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler here"),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))


@pytest.fixture
def noise(make_grid):
    rng = np.random.default_rng(4)
    coarse = rng.normal(0, 500, (10, 12, 14)).repeat(3, 0).repeat(4, 1).repeat(4, 2)
    return CtVolume(coarse.astype(np.int16), make_grid(coarse.shape, (2.5, 2.0, 1.8)))


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_compiled_and_eager_agree_each_says_its_mode_and_repeats_itself(network_bundle, noise):
    predictor = load(network_bundle(), "cpu")
    eager = predictor.segment(noise)
    predictor.compile()
    first, second = predictor.segment(noise), predictor.segment(noise)
    assert [one.provenance.mode for one in (eager, first, second)] == ["eager", "compiled", "compiled"]
    assert set(first.structures) == set(eager.structures)
    for name, field in first.structures.items():
        assert dsc(field.mask(noise.hu.shape), eager.structures[name].mask(noise.hu.shape)) >= 0.999
        assert np.array_equal(field.field, second.structures[name].field)


def test_a_batch_that_is_not_full_is_filled_and_cut_again():
    network = CompiledNetwork(nn.Conv3d(1, 2, 1), CPU)
    with torch.inference_mode():
        network.ask((3, 1, 4, 4, 4), torch.float32, wait=True)
        shown = torch.randn(2, 1, 4, 4, 4)
        torch.testing.assert_close(network(shown), network._network(shown))


def test_an_input_of_another_shape_is_not_compiled_while_somebody_waits():
    network = CompiledNetwork(nn.Conv3d(1, 2, 1), CPU)
    network.ask((1, 1, 4, 4, 4), torch.float32, wait=True)
    with network.held((1, 1, 4, 4, 8), torch.float32) as ready:
        assert not ready
    with torch.inference_mode(), pytest.raises(NotCompiled):
        network(torch.zeros(1, 1, 4, 4, 8))


def test_while_one_shape_is_compiled_another_runs_eagerly(monkeypatch):
    network = CompiledNetwork(nn.Conv3d(1, 2, 1), CPU)
    network.ask((1, 1, 4, 4, 4), torch.float32, wait=True)
    begun, go_on = threading.Event(), threading.Event()

    def slow(_):
        begun.set()
        go_on.wait(30)

    network._compiled = slow
    network.ask((1, 1, 4, 4, 8), torch.float32)
    assert begun.wait(30)
    with network.held((1, 1, 4, 4, 4), torch.float32) as ready:
        assert not ready
    go_on.set()


def test_what_cannot_be_compiled_stays_eager(monkeypatch, network_bundle, noise):
    def refuse(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(torch, "compile", refuse)
    predictor = load(network_bundle(), "cpu")
    predictor.compile()
    assert predictor.segment(noise).provenance.mode == "eager"
