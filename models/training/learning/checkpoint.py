"""Checkpoints on disk: small shards with their hashes, and an index that is written last.

::

    OUT/checkpoint/index.json                       what is in which shard, SHA-256 of each, state of the run
    OUT/checkpoint/shard-<generation>-<n>.safetensors

A checkpoint is a new generation of shards beside the old one; renaming the new index over the old one is
what makes it the checkpoint, and only then the old shards go. So a kill or a full disk at any moment leaves
a whole checkpoint: the new one or the last. Nothing is ever unpickled: shards are safetensors of plain bytes,
compared with their hashes before they are looked into.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from models.full_disk import disk_errors
from models.training.learning.state_codec import Codec, Packed
from models.training.refusals import TrainingRefused

FORMAT: Final = "delineate checkpoint 1"
SHARD_BYTES: Final = 14_999_000
"""Of one shard, so that with its header it stays below 15 MB."""

INDEX: Final = "index.json"
_BYTES: Final = "bytes"


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a tensor's bytes are: they follow those of the entry before, through all shards."""

    name: str
    codec: Codec
    dtype: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose index was read; its tensors are not, until asked for.

    Attributes:
        folder: where it lies.
        generation: how many were written before it.
        state: what the run said of itself, as plain JSON values.
    """

    folder: Path
    generation: int
    state: Mapping[str, Any]
    _shards: tuple[tuple[str, str], ...]
    _entries: tuple[_Entry, ...]

    @classmethod
    def open(cls, folder: Path) -> Checkpoint | None:
        """The checkpoint in ``folder``, or None if there is none.

        Raises:
            TrainingRefused: ``checkpoint.unreadable``.
        """
        if not (folder / INDEX).exists():
            return None
        try:
            return cls._read(folder, json.loads((folder / INDEX).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            sentence = "The checkpoint's index is damaged. Begin the run anew in another folder."
            raise TrainingRefused("checkpoint.unreadable", sentence) from error

    @classmethod
    def _read(cls, folder: Path, content: dict[str, Any]) -> Checkpoint:
        said = content.pop("sha256")
        entries = tuple(
            _Entry(**entry | {"shape": tuple(entry["shape"]), "scale": tuple(entry["scale"])})
            for entry in content["tensors"]
        )
        shards = tuple((str(each["file"]), str(each["sha256"])) for each in content["shards"])
        if content["format"] != FORMAT or said != _sha256_of(content):
            message = "not this format, or not what was written"
            raise ValueError(message)
        return cls(folder, int(content["generation"]), content["state"], shards, entries)

    def tensors(self) -> dict[str, Packed]:
        """Every tensor's bytes, each shard compared with its hash before it is looked into.

        Raises:
            TrainingRefused: ``checkpoint.shard-missing``, ``checkpoint.hash-mismatch``,
                ``checkpoint.unreadable``.
        """
        content = b"".join(self._shard(file, sha256) for file, sha256 in self._shards)
        if len(content) != sum(entry.size for entry in self._entries):
            raise _damaged("index")
        found: dict[str, Packed] = {}
        at = 0
        for entry in self._entries:
            part = content[at : at + entry.size]
            found[entry.name] = Packed(entry.codec, entry.dtype, entry.shape, entry.scale, part)
            at += entry.size
        return found

    def _shard(self, file: str, sha256: str) -> bytes:
        if Path(file).name != file:
            raise _damaged("index")
        try:
            content = (self.folder / file).read_bytes()
        except OSError as error:
            sentence = f"The checkpoint lacks its shard {file}. Put it back, or begin anew in another folder."
            raise TrainingRefused("checkpoint.shard-missing", sentence) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            sentence = (
                f"The checkpoint's shard {file} is not the one that was written: its SHA-256 differs. "
                "Put the right one back, or begin anew in another folder."
            )
            raise TrainingRefused("checkpoint.hash-mismatch", sentence)
        try:
            return load(content)[_BYTES].numpy().tobytes()
        except (SafetensorError, KeyError, TypeError) as error:
            raise _damaged(file) from error


def write_checkpoint(folder: Path, tensors: Mapping[str, Packed], state: Mapping[str, Any]) -> int:
    """Write a checkpoint, which replaces the one in ``folder`` in one moment; how many bytes it has.

    Raises:
        TrainingRefused: ``checkpoint.disk-full``, ``checkpoint.unwritable``; the last one is still there.
    """
    generation = _next_generation(folder)
    names = [f"shard-{generation:06d}-{n:02d}.safetensors" for n in range(-(-_size(tensors) // SHARD_BYTES))]
    part = folder / f"{INDEX}.part"
    with disk_errors(TrainingRefused, "checkpoint", part, *(folder / name for name in names)):
        folder.mkdir(parents=True, exist_ok=True)
        shards: list[dict[str, str]] = []
        written = 0
        for name, content in zip(names, _cut(tensors), strict=True):
            shard = save({_BYTES: torch.frombuffer(bytearray(content), dtype=torch.uint8)})
            _write_through(folder / name, shard)
            shards.append({"file": name, "sha256": hashlib.sha256(shard).hexdigest()})
            written += len(shard)
        content_of_index = {
            "format": FORMAT,
            "generation": generation,
            "shards": shards,
            "tensors": [asdict(entry) for entry in _entries(tensors)],
            "state": state,
        }
        index = json.dumps(content_of_index | {"sha256": _sha256_of(content_of_index)}).encode()
        _write_through(part, index)
        part.replace(folder / INDEX)
        _sync_folder(folder)
    for old in folder.glob("shard-*"):
        if old.name not in names:
            old.unlink()
    return written + len(index)


def _next_generation(folder: Path) -> int:
    """One that no shard in the folder has, whatever state it was left in."""
    numbers = [int(file.name.split("-")[1]) for file in folder.glob("shard-*-*.safetensors")]
    return max(numbers, default=0) + 1


def _size(tensors: Mapping[str, Packed]) -> int:
    return sum(len(tensor.content) for tensor in tensors.values())


def _entries(tensors: Mapping[str, Packed]) -> Iterator[_Entry]:
    for name, tensor in tensors.items():
        yield _Entry(name, tensor.codec, tensor.dtype, tensor.shape, tensor.scale, len(tensor.content))


def _cut(tensors: Mapping[str, Packed]) -> Iterator[bytes]:
    """All bytes one after the other, in pieces of ``SHARD_BYTES``."""
    rest = bytearray()
    for tensor in tensors.values():
        rest += tensor.content
        while len(rest) >= SHARD_BYTES:
            yield bytes(rest[:SHARD_BYTES])
            del rest[:SHARD_BYTES]
    if rest:
        yield bytes(rest)


def _sha256_of(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _write_through(file: Path, content: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(file: str) -> TrainingRefused:
    sentence = f"The checkpoint cannot be read ({file}). Begin the run anew in another folder."
    return TrainingRefused("checkpoint.unreadable", sentence)
