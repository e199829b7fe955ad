"""``delineate contour``: the structure set of a folder, without node, database or network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from analytic_bundle import SPHERES, STRUCTURES, small_ct, write_bundle
from typer.testing import CliRunner

from models.predictor import load as load_model
from models.volume import CtVolume
from service.command_line import contouring
from service.contouring.ct_series import CtSeries
from service.dicom.structure_set_reader import read_masks
from service.errors import ConfigInvalid


class ModelsHere:
    """The model process's place: runs the bundle in this process."""

    def __init__(self, loaded: object, *, quiet: bool = False) -> None:
        pass

    def __enter__(self) -> ModelsHere:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def segment(self, fill, grid, dtype, card, structures, *, deadline_seconds, progress=None):
        hu = np.empty(grid.shape_zyx, dtype)
        fill(hu)
        return load_model(card, "cpu").segment(CtVolume(hu, grid), structures, progress)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundles" / "analytic")
    protocols = {
        "all-of-it": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)},
        "bladder": {"model": "analytic@1.0", "structures": {"Bladder": None}},
    }
    file = tmp_path / "site.yaml"
    node = {"storage": str(tmp_path / "var"), "bundles": [str(tmp_path / "bundles")]}
    file.write_text(yaml.safe_dump({"node": node, "protocols": protocols}))
    return file


@pytest.fixture
def models_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.contouring.segment.ModelClient", ModelsHere)


def contour(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(contouring.app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def volume_cm3(file: Path, ct: list[Path], name: str) -> float:
    series = CtSeries.read(ct)
    slices = [(each.sop_instance_uid, each.frame_number) for each in series.references]
    mask = read_masks(file, series.grid, slices)[name]
    return float(mask.sum(axis=(1, 2)) @ series.grid.voxel_volumes_mm3()) / 1000


@pytest.mark.usefixtures("models_here")
def test_every_protocol_makes_its_structure_set(tmp_path: Path, config: Path) -> None:
    ct = small_ct(tmp_path / "ct", 1, slices=20)
    code, said = contour(tmp_path / "ct", "--out", tmp_path / "out", "--config", config)
    assert code == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["all-of-it.dcm", "bladder.dcm"]
    ds = pydicom.dcmread(tmp_path / "out" / "all-of-it.dcm")
    assert [str(roi.ROIName) for roi in ds.StructureSetROISequence] == STRUCTURES
    assert ds.ApprovalStatus == "UNAPPROVED"
    ball = 4 / 3 * np.pi * SPHERES["Bladder"][1] ** 3 / 1000
    assert volume_cm3(tmp_path / "out" / "bladder.dcm", ct, "Bladder") == pytest.approx(ball, rel=0.05)
    assert "Bladder 12" in said
    assert "cm3" in said
    assert not (tmp_path / "var").exists()  # no database, no spool


@pytest.mark.usefixtures("models_here")
def test_it_leaves_the_environment_as_it_was(tmp_path: Path, config: Path) -> None:
    small_ct(tmp_path / "ct", 1)
    before = dict(os.environ)
    assert contour(tmp_path / "ct", "--out", tmp_path / "out", "--config", config)[0] == 0
    assert dict(os.environ) == before


@pytest.mark.usefixtures("models_here")
def test_one_protocol_can_be_chosen_and_two_runs_are_two_instances(tmp_path: Path, config: Path) -> None:
    small_ct(tmp_path / "ct", 1)
    uids = []
    for out in ("one", "two"):
        words = ("--out", tmp_path / out, "--config", config, "--protocol", "bladder")
        assert contour(tmp_path / "ct", *words)[0] == 0
        uids.append(pydicom.dcmread(tmp_path / out / "bladder.dcm").SOPInstanceUID)
    assert uids[0] != uids[1]


@pytest.mark.usefixtures("models_here")
def test_brackets_in_a_description_are_no_markup(tmp_path: Path, config: Path) -> None:
    def bracketed(_: int, ds: pydicom.Dataset) -> pydicom.Dataset:
        ds.SeriesDescription = "Pelvis [/b] [red]"
        return ds

    small_ct(tmp_path / "ct", 1, tweak=bracketed)
    words = ("--out", tmp_path / "out", "--config", config, "--protocol", "bladder")
    code, said = contour(tmp_path / "ct", *words)
    assert code == 0
    assert "Pelvis [/b] [red]" in said


@pytest.mark.usefixtures("models_here")
def test_a_ct_that_is_refused_is_named_with_its_reason(tmp_path: Path, config: Path) -> None:
    for file in small_ct(tmp_path / "ct", 1)[5:6]:
        file.unlink()
    code, said = contour(tmp_path / "ct", "--out", tmp_path / "out", "--config", config)
    assert code == 1
    assert "bladder: series.hole: " in said
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("models_here")
def test_two_series_in_a_folder_make_numbered_sets(tmp_path: Path, config: Path) -> None:
    small_ct(tmp_path / "ct" / "a", 1)
    small_ct(tmp_path / "ct" / "b", 2)
    words = ("--out", tmp_path / "out", "--config", config, "--protocol", "bladder")
    assert contour(tmp_path / "ct", *words)[0] == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["01-bladder.dcm", "02-bladder.dcm"]


def test_an_unknown_protocol_is_refused_with_those_there_are(tmp_path: Path, config: Path) -> None:
    small_ct(tmp_path / "ct", 1)
    with pytest.raises(ConfigInvalid, match=r"no protocol x; site\.yaml has all-of-it, bladder"):
        contour(tmp_path / "ct", "--out", tmp_path / "out", "--config", config, "--protocol", "x")


@pytest.mark.usefixtures("models_here")
def test_a_folder_without_a_ct_makes_nothing(tmp_path: Path, config: Path) -> None:
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "readme.txt").write_text("no DICOM")
    code, said = contour(tmp_path / "ct", "--out", tmp_path / "out", "--config", config)
    assert code == 1
    assert "There is no CT in this folder." in said


def test_the_shipped_configuration_lists_every_structure_of_its_models(repository: Path) -> None:
    from models.cards.catalog import find_bundle

    protocols = yaml.safe_load((repository / "config.yaml").read_text())["protocols"]
    assert list(protocols) == ["external", "pelvis-ct"]
    for protocol in protocols.values():
        assert list(protocol["structures"]) == list(find_bundle(protocol["model"], ()).structures)


def test_without_a_configuration_it_is_the_folders_or_else_the_shipped_one(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert contouring.shipped_config() == repository / "config.yaml"
    (tmp_path / "config.yaml").write_text("")
    assert contouring.shipped_config() == Path("config.yaml")


@pytest.mark.slow
def test_the_real_model_process_contours_a_folder(tmp_path: Path, config: Path) -> None:
    small_ct(tmp_path / "ct", 1)
    words = ("--out", tmp_path / "out", "--config", config, "--protocol", "bladder")
    assert contour(tmp_path / "ct", *words)[0] == 0
    assert (tmp_path / "out" / "bladder.dcm").is_file()


@pytest.mark.usefixtures("models_here")
def test_the_profile_says_what_each_stage_took(tmp_path: Path, config: Path) -> None:
    small_ct(tmp_path / "ct", 1)
    words = ("--out", tmp_path / "out", "--config", config, "--protocol", "bladder", "--profile")
    _, said = contour(tmp_path / "ct", *words)
    table = [line.split() for line in said.splitlines() if line.startswith("  ")]
    rows = {line[0]: line[1:] for line in table if len(line) == 4}
    stages = ("read_headers", "decode", "program", "plausibility", "contours", "encode", "read_back")
    assert set(stages) <= set(rows)
    assert all(
        float(rows[name][0]) >= 0 and int(rows[name][1]) > 10 and rows[name][2] == "-" for name in stages
    )
    assert "on cpu, float32" in said
