"""No space left, and a file system that makes itself read-only: refused before damage, and it goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pydicom
import pytest
from faults import disk as disks
from faults.disk import Disk
from faults.recording_bundle import numbered_ct, series_uid_of
from faults.site import Site
from postgresql import Unavailable, cluster
from running_node import wait_until

from service.backlog.records import JobState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NO_RESERVE_GB = 0.0001  # 100 kB: so that the disk itself says no


@pytest.fixture
def disk() -> Iterator[Disk]:
    try:
        made = Disk(150)
    except disks.Unavailable as reason:
        pytest.skip(str(reason))
    yield made
    made.close()


def is_whole(file: Path) -> bool:
    return len(pydicom.dcmread(file).PixelData) > 0


def images_of(site: Site) -> list[Path]:
    """What lies in the spool under a final name."""
    return sorted((site.node.storage / "spool" / "incoming").rglob("*.dcm"))


def test_a_full_disk_is_said_to_the_sender_and_all_goes_on_once_there_is_space(
    tmp_path: Path, disk: Disk
) -> None:
    site = Site(tmp_path, storage=disk.folder / "var", disk={"reserve_gb": NO_RESERVE_GB})
    try:
        site.node.start(120)
        assert set(site.send(1)) == {0x0000}
        site.wait_for_sets(1)
        before = site.node.processes()
        ballast = disk.fill(leave_bytes=300_000)
        kept = len(images_of(site))
        answers = site.send(2, slices=40)
        assert set(answers) == {0x0000, 0xA700}
        files = numbered_ct(tmp_path / "ct-2", 2, 40)
        assert [site.is_kept(file) for file in files] == [answer == 0x0000 for answer in answers]
        assert len(images_of(site)) == kept + answers.count(0x0000)
        assert all(is_whole(file) for file in images_of(site))
        ballast.unlink()
        assert set(site.send(2, slices=40)) == {0x0000}
        site.wait_for_sets(2)
        assert site.node.processes() == before
    finally:
        site.close()


def test_a_file_system_that_makes_itself_read_only_takes_nothing_and_loses_nothing(
    tmp_path: Path, disk: Disk
) -> None:
    site = Site(tmp_path, storage=disk.folder / "var", hard_timeout_seconds=10)
    try:
        site.node.start(120)
        assert set(site.send(1)) == {0x0000}
        disk.fail()
        assert set(site.send(2)) == {0xA700}
        site.node.kill_all()
        disk.unmount()
        disk.repair()
        disk.mount()
        site.node.start(120)
        assert all(site.is_kept(file) for file in numbered_ct(tmp_path / "ct-1", 1))
        assert not any(site.is_kept(file) for file in numbered_ct(tmp_path / "ct-2", 2))
        assert set(site.send(2)) == {0x0000}
        site.wait_for_sets(2)
        release_what_is_held(site, 1)
        site.wait_for_sets(1)
    finally:
        site.close()


def test_no_space_for_structure_sets(tmp_path: Path, disk: Disk) -> None:
    site = Site(tmp_path)
    try:
        (site.node.storage).mkdir()
        (site.node.storage / "jobs").symlink_to(disk.folder)
        site.node.start(120)
        ballast = disk.fill()
        assert set(site.send(1)) == {0x0000}
        wait_until(lambda: site.node.events("contour.again"), 240)
        (job,) = site.node.jobs_of(series_uid_of(1))
        assert job.code == "spool.unavailable"
        assert not [file for file in disk.folder.rglob("*") if file.is_file() and file != ballast]
        ballast.unlink()
        site.wait_for_sets(1)
        site.node.wait_for_job(series_uid_of(1), JobState.DONE)
    finally:
        site.close()


@pytest.mark.peer
def test_no_space_for_the_database(tmp_path: Path, disk: Disk) -> None:
    try:
        with cluster(disk.folder, durable=True) as server:
            site = Site(tmp_path, server.new_database())
            try:
                site.node.start(120)
                ballast = disk.fill()
                fill_the_log(server.url("test_1"))
                assert set(site.send(1)) == {0x0000}  # the spool has space, and that is what is promised
                wait_until(lambda: not_recorded(site), 240)
                ballast.unlink()
                if server.process.poll() is not None:
                    server.start()  # as systemd would
                site.wait_for_sets(1)
                site.node.wait_for_job(series_uid_of(1), JobState.DONE)
            finally:
                site.close()
    except Unavailable as reason:
        pytest.skip(str(reason))


def fill_the_log(url: str) -> None:
    """Use up what the server has set aside for its log before the disk was full."""
    with pytest.raises(psycopg.Error):
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                "create table ballast as select repeat('x', 1000) from generate_series(1, 100000)"
            )


def not_recorded(site: Site) -> bool:
    """Whether the node has noticed that its database takes nothing."""
    return bool(site.node.events("series.not-recorded") or site.node.events("arrival.step-failed"))


def release_what_is_held(site: Site, number: int) -> None:
    """The end of this series was not seen by the node; a person says that it was all."""
    job = site.node.wait_for_job(
        series_uid_of(number), JobState.HELD, JobState.DELIVERING, JobState.DONE, seconds=240
    )
    if job.state is JobState.HELD:
        with site.operations() as operations:
            operations.release(job.id)
