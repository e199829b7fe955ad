"""``delineate data import``."""

from __future__ import annotations

import pytest
from training_export import BALLS, export, renamed
from typer.testing import CliRunner

from models.data_sets.data_set import DataSet
from service.command_line.data import app
from service.errors import DataRefused


def run(*arguments: object):
    return CliRunner().invoke(app, ["data", "import", *map(str, arguments)])


def test_the_summary_says_what_was_made_and_what_was_not(tmp_path):
    for number in range(4):
        edit = renamed(Rectum="Opt PTV") if number == 2 else renamed(Femur_Head_L="FemHead L")
        export(tmp_path / "export" / f"P{number}", f"ID{number}", seed=number, edit=edit)
    (tmp_path / "export" / "P3" / "CT0010.dcm").unlink()
    found = run(tmp_path / "export", "--out", tmp_path / "data")
    assert found.exit_code == 0, found.output
    for text in (
        "1 x Opt PTV",
        "left out: series.hole, 1 times",
        "  P3: 1 slice is missing",
        "  Rectum                2 of 3",
        "3 cases of 3 patients: 1 train, 1 validation, 1 test",
        f"The whole report is in {tmp_path / 'data-records'}, the data set in {tmp_path / 'data'}",
    ):
        assert text in found.output, text
    data = DataSet.open(tmp_path / "data")
    assert set(data.structures) == set(BALLS)
    assert (tmp_path / "data-records" / "patients.csv").stat().st_mode & 0o077 == 0, "for its owner alone"


def test_without_a_case_the_report_is_shown_and_the_end_is_a_refusal(tmp_path):
    export(tmp_path / "export", edit=renamed(**{name: f"\x1b[2Jx {name}" for name in BALLS}))
    found = run(tmp_path / "export", "--out", tmp_path / "data")
    assert "\x1b" not in found.output, "no name is a command to the terminal"
    assert isinstance(found.exception, DataRefused)
    assert found.exception.code == "data.empty"
    assert "x Bladder" in found.output
    assert "0 cases of 0 patients" in found.output


def test_every_option_reaches_the_import(tmp_path):
    export(tmp_path / "export" / "P0", "ID0", edit=renamed(Rectum="Darm 7"))
    (tmp_path / "mine.yaml").write_text("structures: {Rectum: [Darm 7]}")
    found = run(
        tmp_path / "export", "--out", tmp_path / "data", "--names", tmp_path / "mine.yaml",
        "--structures", "Rectum, Bladder", "--records", tmp_path / "elsewhere", "--patient", "folder",
        "--prefer", "newest", "--empty-is-absent", "--seed", 3, "--validation", 0, "--test", 0, "--licence", "ours",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    data = DataSet.open(tmp_path / "data")
    assert (data.structures, data.contents.licence) == (("Bladder", "Rectum"), "ours")
    assert "p0001,train,P0,folder" in (tmp_path / "elsewhere" / "patients.csv").read_text()


def test_anonymised_it_leaves_no_list_of_patients(tmp_path):
    export(tmp_path / "export" / "P0", "ID0")
    assert run(tmp_path / "export", "--out", tmp_path / "data", "--anonymise").exit_code == 0
    assert sorted(one.name for one in (tmp_path / "data-records").iterdir()) == ["report.csv", "report.yaml"]


def test_a_report_can_be_had_without_a_data_set(tmp_path):
    export(tmp_path / "export")
    found = run(tmp_path / "export", "--out", tmp_path / "data", "--report-only")
    assert found.exit_code == 0
    assert "1 cases of 1 patients" in found.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "options", [("--validation", 0.5, "--test", 0.5), ("--prefer", "mine"), ("--names", "none.yaml")]
)
def test_options_that_cannot_be_meant_are_refused(tmp_path, options):
    assert run(tmp_path, "--out", tmp_path / "data", *options).exit_code == 2
