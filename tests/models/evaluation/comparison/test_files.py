import csv
from dataclasses import replace

import pytest
from evaluation_cases import measured_entry

from models.evaluation.comparison.comparison import Measured
from models.evaluation.comparison.files import markdown, write_csv
from models.evaluation.comparison.tables import ComparisonTable


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    return measured_entry(
        tmp_path_factory.mktemp("entry"), published={"DSC": {"Bladder": 0.95, "CTVp": 0.82}}
    )


def test_markdown_says_what_was_measured_on_and_holds_every_line(entry):
    table = ComparisonTable("All | of them", ("model", "a|b"), (("one\ntwo", "0.5"), ("three", "")))
    text = markdown([Measured(entry), Measured(replace(entry, name="b"))], [table], ["Everything was small."])
    lines = text.splitlines()
    assert lines[0].startswith("- Measured on 4 cases (test part) of: drawn <on> paper; fingerprint ")
    assert lines[1] == "- Everything was small."
    assert "of its own patients" in lines[2]
    assert lines[4:] == [
        "### All | of them",
        "",
        "| model | a\\|b |",
        "| --- | --- |",
        "| one two | 0.5 |",
        "| three |  |",
    ]


def test_without_published_figures_there_are_no_brackets_to_explain(entry):
    assert "brackets" not in markdown([Measured(replace(entry, published={}))], [], [])


def test_a_line_for_each_figure_with_what_was_printed(entry, tmp_path):
    write_csv([Measured(entry)], tmp_path / "comparison.csv")
    with (tmp_path / "comparison.csv").open(newline="") as stream:
        found = {(line["structure"], line["metric"]): line for line in csv.DictReader(stream)}
    assert found["Bladder", "DSC"]["mean"] == "0.75"
    assert found["Bladder", "DSC"]["published_mean"] == "0.95"
    assert found["CTVp", "DSC"]["mean"] == ""
    assert found["CTVp", "DSC"]["published_mean"] == "0.82"
    assert float(found["all", "mDSC"]["mean"]) == pytest.approx(0.541667, abs=1e-6)
    assert ("Sacrum", "DSC") not in found
