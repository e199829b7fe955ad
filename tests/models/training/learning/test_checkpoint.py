import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.training.learning import checkpoint
from models.training.learning.checkpoint import Checkpoint, write_checkpoint
from models.training.learning.state_codec import packed
from models.training.refusals import TrainingRefused


class Bomb:
    """Unpickling it would leave a file behind."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def some(value: float, count: int = 10):
    return {"a": packed(torch.full((count,), value), "exact"), "b": packed(torch.ones(2, 2), "bfloat16")}


def read(folder) -> Checkpoint:
    found = Checkpoint.open(folder)
    assert found is not None
    return found


def test_what_was_written_is_read_back(tmp_path):
    assert Checkpoint.open(tmp_path) is None
    state = {"step": 3, "outputs": ["background", "Bladder"], "rate": 0.1 + 0.2}
    size = write_checkpoint(tmp_path / "c", some(2.5), state)
    found = read(tmp_path / "c")
    assert found.state == state
    tensors = found.tensors()
    assert tensors["a"].tensor().tolist() == [2.5] * 10
    assert tensors["b"].tensor().shape == (2, 2)
    assert size == sum(file.stat().st_size for file in (tmp_path / "c").iterdir())


def test_shards_are_small_and_a_tensor_may_lie_in_several(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 1000)
    tensors = {"a": packed(torch.arange(600.0), "exact"), "b": packed(torch.arange(5.0), "exact")}
    write_checkpoint(tmp_path, tensors, {})
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert [len(load_file(shard)["bytes"]) for shard in shards] == [1000, 1000, 420]
    again = read(tmp_path).tensors()
    assert torch.equal(again["a"].tensor(), torch.arange(600.0))
    assert torch.equal(again["b"].tensor(), torch.arange(5.0))


def test_a_shard_stays_below_fifteen_megabytes_with_its_header():
    assert checkpoint.SHARD_BYTES + 1000 <= 15_000_000


def test_the_next_one_replaces_the_last(tmp_path):
    for value in (1.0, 2.0, 3.0):
        write_checkpoint(tmp_path, some(value), {"value": value})
    assert read(tmp_path).state == {"value": 3.0}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("at", ["write", "rename"])
def test_a_crash_while_writing_leaves_the_last_one(tmp_path, monkeypatch, at):
    write_checkpoint(tmp_path, some(1.0), {"value": 1})

    def die(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die) if at == "rename" else patch.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(tmp_path, some(2.0), {"value": 2})
    assert read(tmp_path).state == {"value": 1}
    assert read(tmp_path).tensors()["a"].tensor()[0] == 1
    write_checkpoint(tmp_path, some(3.0), {"value": 3})
    assert read(tmp_path).tensors()["a"].tensor()[0] == 3
    assert len(list(tmp_path.glob("shard-*"))) == 1


def test_a_full_disk_is_told_and_leaves_the_last_one(tmp_path):
    write_checkpoint(tmp_path, some(1.0), {"value": 1})
    (tmp_path / "index.json.part").symlink_to("/dev/full")
    with pytest.raises(TrainingRefused, match="The disk is full") as refusal:
        write_checkpoint(tmp_path, some(2.0), {"value": 2})
    assert refusal.value.code == "checkpoint.disk-full"
    assert read(tmp_path).state == {"value": 1}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.json", "shard-000001-00.safetensors"]


def test_another_shard_than_the_one_written_is_refused_and_not_unpickled(tmp_path):
    write_checkpoint(tmp_path, some(1.0), {})
    shard = next(tmp_path.glob("*.safetensors"))
    shard.write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    with pytest.raises(TrainingRefused) as refusal:
        read(tmp_path).tensors()
    assert refusal.value.code == "checkpoint.hash-mismatch"
    shard.unlink()
    with pytest.raises(TrainingRefused) as refusal:
        read(tmp_path).tensors()
    assert refusal.value.code == "checkpoint.shard-missing"
    assert not (tmp_path / "boom").exists()


def test_a_pickle_whose_hash_somebody_put_into_the_index_is_refused_too(tmp_path):
    write_checkpoint(tmp_path, some(1.0), {})
    shard, index = next(tmp_path.glob("*.safetensors")), tmp_path / "index.json"
    shard.write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    content = json.loads(index.read_text())
    del content["sha256"]
    content["shards"][0]["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    index.write_text(json.dumps(content | {"sha256": hashlib.sha256(text.encode()).hexdigest()}))
    with pytest.raises(TrainingRefused) as refusal:
        read(tmp_path).tensors()
    assert refusal.value.code == "checkpoint.unreadable"
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    "damage", [lambda t: t[:-20], lambda t: t.replace('"value": 1', '"value": 2'), lambda t: "3"]
)
def test_a_damaged_index_is_refused(tmp_path, damage):
    write_checkpoint(tmp_path, some(1.0), {"value": 1})
    index = tmp_path / "index.json"
    index.write_text(damage(index.read_text()))
    with pytest.raises(TrainingRefused) as refusal:
        Checkpoint.open(tmp_path)
    assert refusal.value.code == "checkpoint.unreadable"
