import numpy as np
import pytest
import torch

from models.cards.card import BundleError
from models.network_run import Attempt, NetworkRun, NotFinite, attempts, device_named, stepping_down
from models.volume import CtVolume

CPU = torch.device("cpu")
WAYS = (
    Attempt(CPU, 4, torch.float32),
    Attempt(CPU, 1, torch.float32, "single-tiles"),
    Attempt(CPU, 1, torch.bfloat16, "half"),
    Attempt(CPU, 1, torch.float32, "cpu"),
)


@pytest.mark.parametrize("fits", [0, 1, 3])
def test_memory_that_runs_out_is_answered_by_the_next_smaller_way(fits):
    tried = []

    def run(way):
        tried.append(way)
        if len(tried) <= fits:
            raise torch.OutOfMemoryError
        return "answer"

    found, ways = stepping_down(WAYS, run)
    assert found == "answer"
    assert ways == WAYS[: fits + 1]
    assert [way.step_down for way in ways[1:]] == ["single-tiles", "half", "cpu"][:fits]


def test_when_nothing_fits_it_is_a_memory_error():
    def run(way):
        raise MemoryError

    with pytest.raises(MemoryError, match="smallest form"):
        stepping_down(WAYS, run)


def test_other_errors_do_not_step_down():
    def run(way):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stepping_down(WAYS, run)


def test_the_processor_has_one_way_and_a_gpu_that_is_not_there_is_refused():
    assert [way.step_down for way in attempts(CPU)] == [""]
    assert device_named("cpu") == CPU
    if not torch.cuda.is_available():
        assert device_named("auto") == CPU
        with pytest.raises(BundleError) as refusal:
            device_named("cuda:1")
        assert refusal.value.code == "model.no-device"


def test_a_step_down_stands_in_the_answer(network_bundle, make_grid, monkeypatch):
    run = NetworkRun(network_bundle(), CPU)
    monkeypatch.setattr(run, "_ways", WAYS)
    forward, sizes = run._network.forward, []

    def short_of_memory(x):
        sizes.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError
        return forward(x)

    monkeypatch.setattr(run._network, "forward", short_of_memory)
    volume = CtVolume(np.zeros((24, 40, 40), np.int16), make_grid((24, 40, 40)))
    answer = run.run(volume, lambda part: None)
    assert answer.steps_down == ("single-tiles",)
    assert sizes[0] == 4
    assert set(sizes[1:]) == {1}
    assert torch.allclose(answer.probabilities.sum(dim=0), torch.ones(()), atol=1e-4)


def test_a_card_that_asks_for_an_impossible_network_is_refused(network_bundle):
    card = network_bundle(network={"name": "unet-res-enc", "arguments": {"features": [4]}})
    with pytest.raises(BundleError, match="cannot be built"):
        NetworkRun(card, CPU)
    with pytest.raises(BundleError, match="no network is called"):
        NetworkRun(network_bundle(network={"name": "perceptron"}), CPU)


def test_the_margin_is_over_the_best_of_the_others(network_bundle, make_grid):
    volume = CtVolume(
        np.random.default_rng(0).normal(0, 400, (16, 24, 24)).astype(np.int16), make_grid((16, 24, 24))
    )
    answer = NetworkRun(network_bundle(), CPU).run(volume, lambda part: None)
    margins = np.stack([answer.margin(name) for name in answer.card.outputs])
    assert ((margins > 0).sum(axis=0) <= 1).all()
    winner = answer.probabilities.argmax(dim=0).numpy()
    assert (margins.argmax(axis=0) == winner).mean() > 0.999


def test_numbers_that_half_precision_cannot_hold_are_computed_in_float32():
    half = (Attempt(CPU, 4, torch.float16), Attempt(CPU, 1, torch.float16, "single-tiles"))
    ways = (*half, Attempt(CPU, 1, torch.float32, "float32"))

    def run(way):
        if way.precision is torch.float16:
            raise NotFinite
        return "answer"

    assert stepping_down(ways, run) == ("answer", (ways[0], ways[2]))


def test_a_network_beyond_the_range_of_float16_says_float32(network_bundle, make_grid):
    """Logits of some 10 million: infinite in float16, whose largest number is 65,504."""
    card = network_bundle(scale=1e9)
    volume = CtVolume(
        np.random.default_rng(0).normal(0, 400, (8, 12, 16)).astype(np.int16), make_grid((8, 12, 16))
    )
    answer = NetworkRun(card, CPU, torch.float16).run(volume, lambda part: None)
    assert (answer.precision, answer.steps_down, answer.mode) == ("float32", ("float32",), "eager")
    assert answer.is_finite


def test_on_a_gpu_half_precision_comes_first_and_the_processor_last():
    ways = attempts(torch.device("cuda"), (96, 96, 144))
    steps = [(way.device.type, way.batch, way.precision, way.step_down) for way in ways]
    assert steps == [
        ("cuda", 4, torch.float16, ""),
        ("cuda", 1, torch.float16, "single-tiles"),
        ("cuda", 1, torch.float32, "float32"),
        ("cpu", 1, torch.float32, "cpu"),
    ]
    assert attempts(torch.device("cuda"), (1, 256, 256))[0].batch == 64
