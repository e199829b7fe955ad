import pytest
import torch
from torch import nn

from models.training.learning.run_state import RunState
from models.training.refusals import TrainingRefused


def state_of(average=True, keeps_best=False, optimiser=torch.optim.Adam, features=10):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(10, features), nn.BatchNorm1d(features))
    averages = {name: p.detach() + 1e-3 for name, p in network.named_parameters() if average}
    state = RunState(network, optimiser(network.parameters(), lr=0.1), averages, keeps_best)
    network(torch.randn(4, 10)).square().sum().backward()
    state.optimiser.step()
    return state


def test_an_exact_state_changes_nothing_and_comes_back_to_the_last_bit():
    state = state_of()
    assert state.is_exact
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    small = state.packed()
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.network.state_dict().items())
    other = state_of()
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.zero_()
    other.unpack(small)
    for name, tensor in other.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for mine, its in zip(state.optimiser.state.values(), other.optimiser.state.values(), strict=True):
        assert mine.keys() == its.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(mine[key], its[key]) for key in mine)


@pytest.mark.parametrize(
    ("limit", "bytes_each"),  # 130 parameters and 21 numbers in buffers, 4 bytes each
    [(130 * 16 + 84, 16), (130 * 16 + 83, 10), (130 * 10 + 83, 6)],
)
def test_the_first_form_that_fits_is_taken(monkeypatch, limit, bytes_each):
    monkeypatch.setattr("models.training.learning.run_state.LIMIT_BYTES", limit)
    state = state_of()
    assert state.is_exact == (bytes_each == 16)
    assert state.large_bytes == 0
    small = state.packed()
    learned = [tensor for key, tensor in small.items() if "running" not in key and "batches" not in key]
    assert sum(len(t.content) for t in learned if t.shape) == 130 * bytes_each
    other = state_of()
    other.unpack(small)
    for name, tensor in state.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    for name, average in state.averages.items():
        assert torch.equal(average, other.averages[name]), name


def test_what_fits_in_no_form_is_exact_and_its_size_is_known(monkeypatch):
    monkeypatch.setattr("models.training.learning.run_state.LIMIT_BYTES", 500)
    state = state_of(keeps_best=True)
    assert state.is_exact
    assert state.large_bytes == 130 * 18 + 21 * 8


def test_sgd_has_one_moment_and_there_may_be_no_average(monkeypatch):
    monkeypatch.setattr("models.training.learning.run_state.LIMIT_BYTES", 0)
    assert state_of(average=False, optimiser=torch.optim.SGD).large_bytes == 130 * 8 + 84


def test_the_reference_network_stays_within_sixty_megabytes():
    from models.networks import build

    network = build("unet-res-enc", in_channels=2, classes=15)
    averages = {name: p.detach().clone() for name, p in network.named_parameters()}
    state = RunState(network, torch.optim.AdamW(network.parameters()), averages, keeps_best=False)
    assert not state.is_exact
    assert state.large_bytes == 0


def test_another_networks_tensors_do_not_fit():
    for other in (state_of(features=9), state_of(average=False)):
        with pytest.raises(TrainingRefused) as refusal:
            state_of().unpack(other.packed())
        assert refusal.value.code == "checkpoint.does-not-fit"
