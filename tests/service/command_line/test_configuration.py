"""The four commands about the configuration, as an administrator runs them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage
from typer.testing import CliRunner

from service.command_line.configuration import app

CONFIG = """\
node: {ae_title: DELINEATE}
senders: {SCANNER: {addresses: [127.0.0.1]}}
destinations: {tps: {ae_title: TPS, host: 127.0.0.1, port: 11113}}
protocols: {external: {model: external@1.0}}
routes:
  - {name: pelvis, when: {StudyDescription: "*pelvis*"}, contour: external, send_to: [tps], mode: send}
  - {name: scanner, when: {calling_ae: SCANNER}, unless: {ImageType: CBCT}, contour: external, mode: hold}
"""


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def write(folder: Path, name: str, *, meta: dict[str, str] | None = None, **changed: object) -> None:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in (meta or {}).items():
        setattr(ds.file_meta, keyword, value)
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = f"2.25.{abs(hash(name))}"
    ds.SeriesInstanceUID = "2.25.1"
    ds.SeriesNumber = 1
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDescription = "CT Pelvis"
    ds.SeriesDescription = "planning"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    for keyword, value in changed.items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    folder.mkdir(exist_ok=True)
    ds.save_as(folder / name, enforce_file_format=True)


def test_check_of_a_good_file_exits_with_0(run, config):
    result = run("check", "--config", config)
    assert result.exit_code == 0
    assert "config.yaml is good (version " in result.stdout
    assert "1 sender, 1 destination, 1 protocol, 2 routes" in result.stdout


def test_check_says_every_mistake_and_exits_with_2(run, config):
    config.write_text(CONFIG.replace("mode: hold", "mode: hol").replace("[tps]", "[tsp]"))
    result = run("check", "--config", config)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0].startswith("config.yaml:6: routes[0].send_to[0]: found 'tsp'")
    assert lines[1].startswith("config.yaml:7: routes[1].mode: found 'hol'; did you mean hold?")
    assert lines[2] == "2 mistakes; the file is not used"


def test_check_without_a_file_exits_with_2(run, tmp_path):
    result = run("check", "--config", tmp_path / "config.yaml")
    assert result.exit_code == 2
    assert "there is no such file" in result.stderr


def test_check_warns_and_still_exits_with_0(run, config):
    result = run("check", "--config", config)
    assert result.exit_code == 0
    assert "warning: config.yaml:7: routes[1]: 'scanner' has no destination" in result.stdout


def test_explain_says_which_routes_and_why_with_the_values_found(run, config, tmp_path):
    for index in range(3):
        write(tmp_path / "ct", f"{index}.dcm", StudyDescription="CT Thorax")
    result = run("explain", tmp_path / "ct", "--config", config, "--calling-ae", "SCANNER")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "series 1, CT, 'planning', 3 images",
        "  sent by SCANNER to DELINEATE",
        "  not   pelvis: StudyDescription is not '*pelvis*'",
        "          StudyDescription here: CT Thorax",
        "  takes scanner: calling_ae is 'SCANNER'",
        "  => external (external@1.0), hold to nowhere, priority 100",
        "",
    ]


def test_explain_names_the_candidate_in_the_shadow(run, config, tmp_path):
    config.write_text(CONFIG.replace("model: external@1.0", "model: external@1.0, shadow: pelvis-ct@2.0"))
    write(tmp_path / "ct", "1.dcm")
    output = run("explain", tmp_path / "ct", "--config", config, "--calling-ae", "SCANNER").stdout
    assert "=> external (external@1.0), hold to tps, priority 100" in output
    assert "=> shadow:external (pelvis-ct@2.0), shadow to nowhere, priority 1000" in output


def test_explain_says_that_a_caller_would_be_rejected(run, config, tmp_path):
    write(tmp_path / "ct", "0.dcm")
    result = run(
        "explain", tmp_path / "ct", "--config", config, "--calling-ae", "STRANGER", "--called-ae", "OTHER"
    )
    assert "sent by STRANGER (not under senders: it would be rejected) to OTHER (not ours" in result.stdout


def test_explain_takes_the_ae_titles_of_files_from_the_spool(run, config, tmp_path):
    meta = {"SourceApplicationEntityTitle": "SCANNER", "ReceivingApplicationEntityTitle": "DELINEATE"}
    write(tmp_path / "ct", "0.dcm", meta=meta)
    assert "sent by SCANNER to DELINEATE" in run("explain", tmp_path / "ct", "--config", config).stdout


def test_explain_tells_localizers_other_objects_and_series_apart(run, config, tmp_path):
    folder = tmp_path / "ct"
    for index in range(4):
        write(folder, f"{index}.dcm")
    write(folder, "scout.dcm", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write(
        folder,
        "topogram.dcm",
        SeriesInstanceUID="2.25.2",
        SeriesNumber=2,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    write(
        folder,
        "rs.dcm",
        SeriesInstanceUID="2.25.3",
        SeriesNumber=3,
        SOPClassUID=RTStructureSetStorage,
        Modality="RTSTRUCT",
    )
    (folder / "notes.txt").write_text("no DICOM")
    output = run("explain", folder, "--config", config).stdout
    assert "series 1, CT, 'planning', 5 images" in output
    assert "1 of 5 images are localizers and set aside" in output
    assert "nothing else: the series would be ignored" in output
    assert "series 3, RTSTRUCT, 'planning', 1 images\n  not a CT" in output


def test_explain_says_what_a_series_would_be_refused_for(run, config, tmp_path):
    write(tmp_path / "ct", "0.dcm")
    write(tmp_path / "ct", "1.dcm", StudyDescription="Thorax")
    output = run("explain", tmp_path / "ct", "--config", config).stdout
    assert "REFUSED routing.slices-disagree: The slices disagree on StudyDescription" in output


def test_explain_of_a_folder_without_dicom_says_so(run, config, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "there is no DICOM image" in run("explain", tmp_path / "empty", "--config", config).stdout


def test_explain_writes_nothing_and_needs_no_database(run, config, tmp_path):
    write(tmp_path / "ct", "0.dcm")
    before = sorted(tmp_path.rglob("*"))
    run("explain", tmp_path / "ct", "--config", config)
    assert sorted(tmp_path.rglob("*")) == before


def test_schema_and_reference_print_what_docs_hold(run, repository):
    assert run("schema").stdout == (repository / "docs/config.schema.json").read_text()
    assert run("reference").stdout == (repository / "docs/configuration.md").read_text()


@pytest.mark.shared_data
def test_explain_of_real_series(run, config, shared_data, tmp_path):
    result = run("explain", shared_data / "dicom", "--config", config)
    assert result.exit_code == 0
    assert "CT, '', 98 images" in result.stdout
    assert "not a CT" in result.stdout


def test_the_shipped_file_is_checked_from_another_folder(run, repository, tmp_path, monkeypatch):
    shutil.copy(repository / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run("check").exit_code == 0


@pytest.mark.filterwarnings("ignore")  # pydicom's, of values that are wrong on purpose
def test_explain_sends_no_command_to_the_terminal_and_passes_over_what_cannot_be_read(run, config, tmp_path):
    folder = tmp_path / "ct"
    write(folder, "0.dcm", SeriesDescription="\x1b]0;owned\x07plan", StudyDescription="\x1b[2Jthorax")
    write(folder, "odd.dcm", SeriesInstanceUID="2.25.9")
    data = (folder / "odd.dcm").read_bytes()
    at = data.index(b"\x08\0\x60\0CS") + 4
    (folder / "odd.dcm").write_bytes(
        data[:at] + b"FD" + data[at + 2 :]
    )  # eight bytes a number, and there are two
    result = run("explain", folder, "--config", config, "--calling-ae", "SCANNER")
    assert "' ]0;owned plan', 1 images" in result.stdout
    assert "StudyDescription here:  [2Jthorax" in result.stdout
    assert "\x1b" not in result.stdout
