"""A folder as destination: whole files, names without a patient's values, no folder made where one is missing."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from delivery_desk import Desk

from service.backlog.records import Delivery, DeliveryState
from service.config.output_objects import ObjectKind
from service.config.reader import load
from service.delivery import folder, outcome
from service.delivery.outcome import Kind

UID = "2.25.1234567890"


def delivery_of(file: Path, kind: ObjectKind = ObjectKind.RTSTRUCT) -> Delivery:
    return Delivery(1, "abc123", "export", file, UID, DeliveryState.WAITING, 0, kind=kind)


@pytest.fixture
def several(tmp_path: Path) -> Delivery:
    """Two masks and the JSON file that names them."""
    made = tmp_path / "made" / "nifti-structures"
    made.mkdir(parents=True)
    (made / "Bladder.nii.gz").write_bytes(b"bladder")
    (made / "Rectum.nii.gz").write_bytes(b"rectum")
    said = {"instance_uid": UID, "structures": [{"file": "Bladder.nii.gz"}, {"file": "Rectum.nii.gz"}]}
    (made / "structures.json").write_text(json.dumps(said))
    return delivery_of(made / "structures.json", ObjectKind.NIFTI_STRUCTURES)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


def test_a_dicom_object_is_one_file(structure_set: Path, export: Path) -> None:
    for _ in range(2):  # again after a crash: the same
        assert folder.write(delivery_of(structure_set), export).kind is Kind.DONE
        assert [file.name for file in export.iterdir()] == ["abc123-rtstruct.dcm"]
        assert (export / "abc123-rtstruct.dcm").read_bytes() == structure_set.read_bytes()


def test_several_files_lie_in_a_folder_of_their_own(several: Delivery, export: Path) -> None:
    assert folder.write(several, export).code == "delivery.written"
    found = {file.name: file.read_bytes() for file in (export / "abc123-nifti-structures").iterdir()}
    assert found == {
        "Bladder.nii.gz": b"bladder",
        "Rectum.nii.gz": b"rectum",
        "structures.json": several.file.read_bytes(),
    }


def test_the_file_that_names_the_others_comes_last(several: Delivery, export: Path, monkeypatch) -> None:
    copied: list[str] = []
    copyfile = shutil.copyfileobj

    def full_at_the_last(source, target, length):
        copied.append(Path(source.name).name)
        if len(copied) == 3:
            raise OSError(errno.ENOSPC, "full")
        copyfile(source, target, length)

    monkeypatch.setattr(shutil, "copyfileobj", full_at_the_last)
    found = folder.write(several, export)
    assert (found.kind, found.code, found.alarm) == (Kind.SLOW_RETRY, "delivery.folder-full", True)
    assert copied[-1] == "structures.json"
    left = sorted(file.name for file in (export / "abc123-nifti-structures").iterdir())
    assert left == ["Bladder.nii.gz", "Rectum.nii.gz"], (
        "no part of a file is left, and nothing says: complete"
    )
    monkeypatch.undo()
    assert folder.write(several, export).kind is Kind.DONE


def test_a_folder_that_is_not_there_is_not_made(structure_set: Path, tmp_path: Path) -> None:
    found = folder.write(delivery_of(structure_set), tmp_path / "unmounted")
    assert (found.kind, found.code, found.alarm) == (Kind.SLOW_RETRY, "delivery.no-folder", True)
    assert not (tmp_path / "unmounted").exists()


def test_what_is_not_there_or_not_meant_is_not_written(
    structure_set: Path, several: Delivery, export: Path, tmp_path: Path
) -> None:
    assert folder.write(delivery_of(tmp_path / "absent.dcm"), export) is outcome.FILE_MISSING
    other = replace(delivery_of(structure_set), sop_instance_uid="2.25.9")
    assert folder.write(other, export) is outcome.OTHER_INSTANCE
    assert folder.write(replace(several, sop_instance_uid="2.25.9"), export) is outcome.OTHER_INSTANCE
    (several.file.parent / "Rectum.nii.gz").unlink()
    assert folder.write(several, export) is outcome.FILE_MISSING
    assert list(export.iterdir()) == []


@pytest.fixture
def to_folder(desk: Desk, export: Path) -> Callable[[], None]:
    """Let the destination ``tps`` be a folder."""

    def configure() -> None:
        config = yaml.safe_load(desk.config_file.read_text())
        config["destinations"]["tps"] = {"folder": str(export), "objects": ["rtstruct"]}
        desk.config_file.write_text(yaml.safe_dump(config, sort_keys=False))
        desk.loaded = load(desk.config_file, check_bundles=False)

    return configure


def test_a_delivery_to_a_folder_ends_its_job(desk: Desk, export: Path, to_folder: Callable[[], None]) -> None:
    to_folder()
    delivery = desk.delivery()
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("delivered", "done")
    (attempt,) = desk.attempts(delivery)
    assert (attempt.status, attempt.code) == (None, "delivery.written")
    assert [file.name for file in export.iterdir()] == [f"{delivery.job_id}-rtstruct.dcm"]


def test_a_folder_that_went_away_is_waited_for_and_told(
    desk: Desk, export: Path, to_folder: Callable[[], None]
) -> None:
    to_folder()
    export.rmdir()
    delivery = desk.delivery()
    assert desk.deliver(delivery) is not None
    assert desk.states(delivery) == ("retrying", "delivering")
    assert desk.told.codes == ["delivery.no-folder"]
