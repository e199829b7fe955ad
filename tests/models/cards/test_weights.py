import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.cards.card import BundleError
from models.cards.weights import load_weights, save_weights, stored
from models.networks import build


def tiny(**changes):
    return build("unet-res-enc", **({"in_channels": 1, "classes": 3, "features": [4, 6]} | changes))


def test_what_was_saved_is_loaded(network_bundle):
    card = network_bundle()
    network = tiny()
    assert load_weights(card, network) == card.weights.sha256
    saved = load_file(card.folder / "weights.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())


def test_half_precision_weights_become_float32(tmp_path):
    said = save_weights(tiny().state_dict(), tmp_path / "w.safetensors")
    assert said.dtype == "float16"
    assert said.parameters == sum(p.numel() for p in tiny().parameters())
    assert next(iter(load_file(tmp_path / "w.safetensors").values())).dtype == torch.float16


def test_statistics_of_batch_norm_and_numbers_beyond_half_precision_stay_as_they_are():
    state = {
        "norm.running_var": torch.tensor([1e6, 1e-9]),
        "norm.num_batches_tracked": torch.tensor(70_000),
        "norm.weight": torch.tensor([1.0]),
        "large.weight": torch.tensor([1e5]),
    }
    found = stored(state)
    assert torch.equal(found["norm.running_var"], state["norm.running_var"])
    assert found["norm.num_batches_tracked"].item() == 70_000
    assert found["norm.weight"].dtype == torch.float16
    assert found["large.weight"].tolist() == [1e5]


def test_one_changed_byte_is_refused(network_bundle):
    card = network_bundle()
    file = card.folder / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError) as refusal:
        load_weights(card, tiny())
    assert refusal.value.code == "model.hash-mismatch"


class Bomb:
    """Unpickling it would leave a file behind."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("hash_is_right", [False, True])
def test_a_pickle_in_place_of_the_weights_is_refused_and_not_unpickled(
    network_bundle, tmp_path, hash_is_right
):
    card = network_bundle()
    content = pickle.dumps(Bomb(tmp_path / "boom"))
    (card.folder / "weights.safetensors").write_bytes(content)
    if hash_is_right:
        card = replace(card, weights=replace(card.weights, sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(BundleError) as refusal:
        load_weights(card, tiny())
    assert refusal.value.code == ("model.weights-do-not-fit" if hash_is_right else "model.hash-mismatch")
    assert not (tmp_path / "boom").exists()


def test_weights_of_another_network_are_refused(network_bundle):
    with pytest.raises(BundleError) as refusal:
        load_weights(network_bundle(), tiny(classes=4))
    assert refusal.value.code == "model.weights-do-not-fit"


def test_weights_that_are_not_finite_are_refused(network_bundle):
    card = network_bundle(change_state=lambda network: network.head.bias.fill_(float("nan")))
    with pytest.raises(BundleError, match="not finite"):
        load_weights(card, tiny())
