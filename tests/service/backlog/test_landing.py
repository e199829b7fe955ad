"""What was acknowledged has a name on the disk at every moment; what was not is either whole or gone."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from service.backlog.landing import BATCH, Landing
from service.backlog.spool import Spool
from service.errors import SpoolUnavailable


def part_10(content: bytes) -> list[bytes]:
    """A file of preamble, empty File Meta and data set, in pieces."""
    head = bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, 0)
    return [head, content[:5], content[5:]]


def landed_files(storage: Path) -> list[Path]:
    """Files of all landings that hold something."""
    return [file for file in (storage / "spool" / "landing").rglob("*.landing") if file.stat().st_size]


@pytest.fixture
def landing(spool):
    assert spool.open_landing() == 0
    yield spool
    spool.close_landing()


def test_an_instance_lies_where_it_belongs_and_is_as_it_came(landing):
    stored = landing.store("1", "2", part_10(b"pixel data"))
    assert stored.outcome == "new"
    assert stored.file == landing.instance_file("1", "2")
    assert stored.file.read_bytes()[128:] == b"".join(part_10(b"pixel data"))[128:]
    assert [file.name for file in stored.file.parent.iterdir()] == [stored.file.name]


def test_what_is_no_part_10_file_goes_the_other_way(landing, storage):
    assert landing.store("1", "2", [b"CT"]).outcome == "new"
    assert landing.instance_file("1", "2").read_bytes() == b"CT"
    assert landed_files(storage) == []


def test_duplicates_and_conflicts_are_what_they_were(landing, storage):
    first = landing.store("1", "2", part_10(b"pixels"))
    assert landing.store("1", "2", part_10(b"pixels")).outcome == "duplicate"
    other = landing.store("1", "2", part_10(b"other pixels"))
    assert (other.outcome, other.file.parent.parent) == ("conflict", landing.set_aside)
    assert first.file.read_bytes().endswith(b"pixels")
    assert len(landed_files(storage)) == 1


def test_one_that_comes_between_look_and_link_is_compared(landing, storage, monkeypatch):
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.write_bytes(b"".join(part_10(b"pixels")))
        monkeypatch.setattr(os, "link", link)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert landing.store("1", "2", part_10(b"pixels")).outcome == "duplicate"
    assert landed_files(storage) == []


def test_a_folder_purged_before_the_link_is_made_again(landing, monkeypatch):
    link = os.link

    def after_a_purge(source: Path, target: Path) -> None:
        target.parent.rmdir()
        monkeypatch.setattr(os, "link", link)
        link(source, target)

    monkeypatch.setattr(os, "link", after_a_purge)
    assert landing.store("1", "2", part_10(b"pixels")).outcome == "new"
    assert landing.instance_file("1", "2").exists()


def test_first_names_are_given_up_once_second_ones_are_flushed(landing, storage):
    for number in range(BATCH - 1):
        landing.store("1", f"2.{number}", part_10(b"pixels %d" % number))
    assert len(landed_files(storage)) == BATCH - 1
    landing.store("1", "3", part_10(b"the last"))
    assert landed_files(storage) == []
    landing.store("1", "4", part_10(b"one more"))
    assert len(landed_files(storage)) == 1
    landing.settle()
    assert landed_files(storage) == []
    assert len(list(landing.series_folder("1").iterdir())) == BATCH + 1


def test_closing_leaves_nothing(spool, storage):
    spool.open_landing()
    spool.store("1", "2", part_10(b"pixels"))
    spool.close_landing()
    assert list((storage / "spool" / "landing").iterdir()) == []
    assert spool.instance_file("1", "2").exists()


@pytest.mark.parametrize("call", ["fdatasync", "writev"])
def test_a_disk_that_does_not_take_it_is_said_and_leaves_nothing(landing, storage, monkeypatch, call):
    landing.store("1", "1", part_10(b"before"))

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(SpoolUnavailable, match="Free space or mend the disk"):
            landing.store("1", "2", part_10(b"pixels"))
    assert not landing.instance_file("1", "2").exists()
    assert len(landed_files(storage)) == 1
    assert landing.store("1", "2", part_10(b"pixels")).outcome == "new"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_takes_an_instance_all_the_same(
    landing, storage, monkeypatch, number
):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    assert landing.store("1", "2", part_10(b"pixels")).outcome == "new"
    assert landing.instance_file("1", "2").read_bytes().endswith(b"pixels")
    assert landed_files(storage) == []


STORE = """
import os, pathlib, signal, struct, sys
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
for name in ("writev", "fsync", "fdatasync", "link", "unlink", "mkdir", "rename"):
    setattr(os, name, counted(getattr(os, name)))
spool.open_landing()
head = bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, 0)
for number in range(40):
    spool.store("1", f"2.{number}", [head, b"first half ", b"second half %d" % number])
    print(number, flush=True)
spool.close_landing()
"""


def run_and_kill(storage: Path, after_steps: int) -> int:
    """Store 40 instances in a process that dies after so many calls; how many it acknowledged."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STORE), storage, str(after_steps)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    return len(done.stdout.split())


@pytest.mark.parametrize("after_steps", [1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 100, 101, 102, 103, 104, 120, 1000])
@pytest.mark.parametrize("power", ["stays", "goes"])
def test_killed_at_any_step_keeps_what_was_acknowledged(storage, after_steps, power):
    """If the power goes too, second names that were not flushed are lost: those with a first one left."""
    acknowledged = run_and_kill(storage, after_steps)
    spool = Spool(storage)
    second_names = {file.stat().st_ino: file for file in spool.incoming.rglob("*.dcm")}
    unflushed = [second_names[f.stat().st_ino] for f in landed_files(storage) if f.stat().st_nlink > 1]
    if power == "goes":
        for file in unflushed:
            file.unlink()
    spool.open_landing()
    whole = [
        spool.instance_file("1", f"2.{number}").read_bytes().endswith(b"first half second half %d" % number)
        for number in range(acknowledged)
    ]
    assert all(whole)
    assert len(list(spool.incoming.rglob("*.dcm"))) in (acknowledged, acknowledged + 1)
    assert landed_files(storage) == []
    spool.close_landing()


@pytest.mark.parametrize("damage", ["cut", "longer", "changed", "foreign"])
def test_what_was_not_written_to_its_end_is_deleted(storage, damage):
    spool = Spool(storage)
    spool.open_landing()
    stored = spool.store("1", "2", part_10(b"pixel data that are long"))
    (file,) = landed_files(storage)
    content = bytearray(file.read_bytes())
    stored.file.unlink()
    if damage == "cut":
        del content[-1:]
    elif damage == "longer":
        content += b"x"
    elif damage == "changed":
        content[-3] ^= 1
    else:
        content[:8] = bytes(8)
    dead = storage / "spool" / "landing" / ("0" * 32)
    dead.mkdir()
    (dead / "1.landing").write_bytes(content)
    (dead / "2.landing").touch()
    assert Spool(storage).open_landing() == 0
    assert not dead.exists()
    assert not stored.file.exists()
    spool.close_landing()


def test_the_landing_of_a_living_process_is_left_alone(landing, storage):
    landing.store("1", "2", part_10(b"pixels"))
    other = Landing(storage / "spool" / "landing", landing.incoming)
    other.open()
    assert other.take_over() == 0
    assert len(landed_files(storage)) == 1
    other.close()


def test_a_file_system_that_does_not_lock_is_waited_for_twice(spool, storage, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    assert spool.open_landing() == 0
    assert list((storage / "spool" / "landing").iterdir()) == []
    assert spool.store("1", "2", part_10(b"pixels")).outcome == "new"
    assert spool.instance_file("1", "2").exists()
    assert landed_files(storage) == []
