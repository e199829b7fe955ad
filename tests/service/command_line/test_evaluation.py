"""``delineate evaluate`` as a person runs it."""

from __future__ import annotations

import csv

import pytest
from evaluation_cases import write_bundle, write_data
from typer.testing import CliRunner

from service.__main__ import application
from service.errors import DataRefused, ModelRefused

WHY = "There are no pictures because it is so."


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take seconds, and ``test_evaluation_run`` looks at them."""
    for place in ("run", "pictures"):
        monkeypatch.setattr(f"models.evaluation.{place}.why_no_pictures", lambda: WHY)


@pytest.fixture
def folders(tmp_path):
    write_data(tmp_path / "data")
    write_bundle(tmp_path / "bundles" / "known")
    return tmp_path


def evaluate(folders, bundle, *options):
    told = ["evaluate", bundle, "--data", folders / "data", "--out", folders / "out", "--worst", 0, *options]
    return CliRunner().invoke(application(), [str(each) for each in told])


@pytest.mark.parametrize("named", [True, False])
def test_a_bundle_is_evaluated_by_name_or_folder(folders, named):
    bundles = ("--bundles", folders / "bundles") if named else ()
    found = evaluate(folders, "known@1.0" if named else folders / "bundles" / "known", *bundles)
    assert found.exit_code == 0, found.output
    assert "known@1.0, 4 cases" in found.output
    assert "0.750 ± 0.354 (0.750)" in found.output
    assert "refused by the model: 1 cases" in found.output
    assert WHY in found.output
    assert found.output.rstrip().endswith("report.html")
    with (folders / "out" / "figures.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 6
    assert (folders / "out" / "report.html").stat().st_size > 10_000


def test_all_parts(folders):
    found = evaluate(folders, folders / "bundles" / "known", "--part", "all")
    assert "known@1.0, 5 cases" in found.output


@pytest.mark.parametrize(
    ("options", "kind", "code"),
    [
        (("nobody@1.0",), ModelRefused, "model.unknown"),
        (("known@1.0", "--part", "validation"), DataRefused, "evaluation.no-case"),
        (("known@1.0", "--data", "elsewhere"), DataRefused, "data.missing"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(folders, options, kind, code):
    (folders / "elsewhere").mkdir()
    told = [folders / "elsewhere" if each == "elsewhere" else each for each in options]
    found = evaluate(folders, *told, "--bundles", folders / "bundles")
    assert isinstance(found.exception, kind)
    assert found.exception.code == code
    assert not (folders / "out").exists()


def test_a_part_that_is_none_is_told(folders):
    found = evaluate(folders, "known@1.0", "--part", "third")
    assert found.exit_code == 2
    assert "train, validation, test and all" in " ".join(found.output.replace("│", " ").split())


def test_readers_scores_are_counted_and_a_sheet_that_was_filled_in_is_not_overwritten(folders):
    assert evaluate(folders, folders / "bundles" / "known").exit_code == 0
    sheet = folders / "out" / "score-sheet.csv"
    sheet.write_text(sheet.read_text().replace("Bladder,,", "Bladder,,minor revision"))
    assert evaluate(folders, folders / "bundles" / "known").exit_code == 0
    found = CliRunner().invoke(application(), ["reader-scores", str(folders / "out")])
    assert found.exit_code == 0, found.output
    assert "2 (100.00%)" in found.output
    assert "Bladder" in (folders / "out" / "reader-scores.csv").read_text()
    sheet.write_text("nothing")
    found = CliRunner().invoke(application(), ["reader-scores", str(folders / "out"), str(sheet)])
    assert found.exception.code == "evaluation.scores"
