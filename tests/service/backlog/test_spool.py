"""A file is whole or absent, a duplicate is one file, a conflict is set aside, no UID is a path."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from service.backlog.spool import Spool, hashed, write_durably
from service.errors import SpoolUnavailable


def part_10(meta: bytes, data_set: bytes) -> list[bytes]:
    """A file of preamble, File Meta of the given content, and data set."""
    return [bytes(128), b"DICM", struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)), meta, data_set]


def test_an_instance_lies_under_the_hash_of_its_uids(spool, storage):
    stored = spool.store("1.2.3", "1.2.3.4", [b"CT"])
    series, instance = (hashlib.sha256(uid).hexdigest()[:32] for uid in (b"1.2.3", b"1.2.3.4"))
    assert stored.file == storage / "spool" / "incoming" / series / f"{instance}.dcm"
    assert stored.outcome == "new"
    assert stored.file.read_bytes() == b"CT"
    assert spool.instance_file("1.2.3", "1.2.3.4") == stored.file
    assert list(spool.folders()) == [spool.series_folder("1.2.3")]


def test_parts_are_joined_and_nothing_else_is_left(spool):
    stored = spool.store("1", "2", [b"ab", memoryview(b"cd"), bytearray(b"e"), b""])
    assert stored.file.read_bytes() == b"abcde"
    assert [file.name for file in stored.file.parent.iterdir()] == [stored.file.name]


def test_the_same_data_set_twice_is_one_file_whatever_its_meta_says(spool):
    first = spool.store("1", "2", part_10(b"from A", b"pixels"))
    second = spool.store("1", "2", part_10(b"from B, longer", b"pixels"))
    assert (second.outcome, second.file) == ("duplicate", first.file)
    assert b"from A" in first.file.read_bytes()


def test_another_data_set_under_a_known_uid_is_set_aside(spool):
    first = spool.store("1", "2", part_10(b"m", b"pixels"))
    other = spool.store("1", "2", part_10(b"m", b"other pixels"))
    third = spool.store("1", "2", part_10(b"m", b"third pixels"))
    again = spool.store("1", "2", part_10(b"n", b"other pixels"))
    assert first.file.read_bytes().endswith(b"pixels")
    assert (other.outcome, third.outcome, again.outcome) == ("conflict",) * 3
    assert other.file != third.file
    assert again.file == other.file
    assert other.file.parent == spool.set_aside / hashed("1")
    assert sorted(file.name for file in other.file.parent.iterdir()) == [
        f"{hashed('2')}-{n}.dcm" for n in (1, 2)
    ]


def test_many_threads_storing_one_instance_make_one_file(spool):
    outcomes = []

    def store(number: int) -> None:
        outcomes.append(spool.store("1", "2", part_10(bytes([number]), b"pixels")).outcome)

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["duplicate"] * 7 + ["new"]
    assert len(list(spool.series_folder("1").iterdir())) == 1


def test_files_and_folders_are_private(spool):
    stored = spool.store("1", "2", [b"CT"])
    assert stat.S_IMODE(stored.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stored.file.parent.stat().st_mode) == 0o700


def test_a_received_structure_set_has_its_own_place(spool):
    stored = spool.store_structure_set("2.25.5", [b"RT"])
    assert stored.file == spool.structure_sets / f"{hashed('2.25.5')}.dcm"
    assert spool.store_structure_set("2.25.5", [b"RT"]).outcome == "duplicate"
    assert list(spool.folders()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_does_not_take_it_is_said_and_leaves_nothing(spool, monkeypatch, number):
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SpoolUnavailable, match="Free space or mend the disk") as refused:
        spool.store("1", "2", [b"CT"])
    assert refused.value.code == "spool.unavailable"
    assert "1" not in str(refused.value)
    assert list(spool.incoming.rglob("*")) in ([], [spool.series_folder("1")])


def test_a_storage_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnavailable):
        Spool(tmp_path / "file")


def test_a_jobs_folder_that_cannot_be_made_is_said(spool):
    spool.jobs.rmdir()
    spool.jobs.write_text("in the way", encoding="ascii")
    with pytest.raises(SpoolUnavailable):
        spool.job_folder("job")


def test_a_folder_purged_in_the_middle_is_made_again(spool, monkeypatch):
    import service.backlog.spool as module

    write, calls = module._write_part, []

    def purge_first(folder, parts):
        if not calls:
            folder.rename(spool.purging / "gone")
        calls.append(folder)
        return write(folder, parts)

    monkeypatch.setattr(module, "_write_part", purge_first)
    assert spool.store("1", "2", [b"CT"]).outcome == "new"
    assert len(calls) == 2
    assert spool.instance_file("1", "2").read_bytes() == b"CT"


def test_write_durably_replaces_whole_files(tmp_path):
    write_durably(tmp_path / "a", b"one")
    write_durably(tmp_path / "a", [b"tw", b"o"])
    assert (tmp_path / "a").read_bytes() == b"two"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_free_space_is_that_of_the_disk(spool, storage):
    there = os.statvfs(storage)
    assert abs(spool.free_bytes() - there.f_bavail * there.f_frsize) < 1e9


@pytest.mark.parametrize("after_steps", range(1, 7))
def test_killed_at_any_step_leaves_the_whole_file_or_none(storage, after_steps):
    """The n-th call that changes the disk is the last one before SIGKILL."""
    program = textwrap.dedent(
        """
        import os, pathlib, signal, sys
        from service.backlog.spool import Spool
        spool, left = Spool(pathlib.Path(sys.argv[1])), int(sys.argv[2])
        def counted(call):
            def run(*arguments, **more):
                global left
                result = call(*arguments, **more)
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result
            return run
        for name in ("write", "fsync", "link", "unlink", "mkdir"):
            setattr(os, name, counted(getattr(os, name)))
        spool.store("1", "2", [b"first half ", b"second half"])
        """
    )
    subprocess.run([sys.executable, "-c", program, storage, str(after_steps)], check=False)
    file = Spool(storage).instance_file("1", "2")
    assert not file.exists() or file.read_bytes() == b"first half second half"
    assert Spool(storage).store("1", "2", [b"first half second half"]).outcome in ("new", "duplicate")


def test_what_arrives_again_is_as_young_as_what_is_new(spool):
    stored = spool.store("2.25.1", "2.25.1.1", [b"CT"])
    os.utime(stored.file, (1000, 1000))
    assert spool.store("2.25.1", "2.25.1.1", [b"CT"]).outcome == "duplicate"
    assert time.time() - stored.file.stat().st_mtime < 60


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_takes_an_instance_all_the_same(spool, monkeypatch, number):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    stored = spool.store("2.25.1", "2.25.1.1", [b"CT"])
    assert (stored.outcome, stored.file.read_bytes()) == ("new", b"CT")
    assert list(stored.file.parent.iterdir()) == [stored.file]
