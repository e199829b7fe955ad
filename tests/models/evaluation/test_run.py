"""A whole evaluation: every file, and a report that needs nothing else."""

import csv
import re

import pytest
from evaluation_cases import write_bundle, write_data
from matplotlib.image import imread
from parsed_html import Parsed

from models.evaluation.evaluation import EvaluationRefused
from models.evaluation.figures import METRICS
from models.evaluation.files import read_evaluation
from models.evaluation.report import LIMITS, RULES
from models.evaluation.run import Options, run_evaluation


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    data, card = write_data(folder / "data"), write_bundle(folder / "bundle")

    def made(out, **options):
        return run_evaluation(card, data, out, Options(device="cpu", **options), lambda *_: None)

    return made


@pytest.fixture(scope="module")
def out(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def report(out):
    return (out / "report.html").read_text(encoding="utf-8")


def test_every_file_is_written(out):
    assert len(read_evaluation(out).cases) == 4
    with (out / "figures.csv").open(newline="") as stream:
        assert len(list(csv.reader(stream))) == 7
    pictures = sorted(file.name for file in (out / "pictures").iterdir())
    assert "box-DSC.png" in pictures
    assert [name for name in pictures if name.startswith("worst")] == [
        "worst-01-Bladder-1.png",
        "worst-01-Bladder-2.png",
        "worst-02-Rectum-1.png",
        "worst-02-Rectum-2.png",
        "worst-02-Rectum-3.png",
    ]
    assert all(imread(out / "pictures" / name).ndim == 3 for name in pictures)


def test_the_report_needs_nothing_from_outside_and_says_everything(report):
    found = Parsed(report)
    sources = [value for _, name, value in found.attributes if name in ("src", "href")]
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in sources)
    assert len([value for value in sources if value.startswith("data:")]) == len(METRICS) + 5
    assert not re.search(r"url\(|@import|<link|<script", report)
    said = " ".join(" ".join(found.texts).split())
    for expected in (
        "Evaluation of known@1.0",
        "not validated",
        "drawn <on> paper",
        "4 of 3 patients; refused by the model: 1",
        "No <pelvis> is seen.",
        "Bladder, p0001-1: DSC 0.500, HD95 2.0 mm",
        "0.750 ± 0.354 (0.750)",
        *RULES,
        *LIMITS,
    ):
        assert expected in said, expected


def test_the_contouring_time_of_each_case_is_in_the_report(report):
    texts = [text for text in Parsed(report).texts if text.strip()]
    at = texts.index("Of each case")
    assert texts[at + 1 : at + 6] == ["case", "slices", "seconds", "p0001-1", "6"]
    assert float(texts[at + 6]) >= 0


def test_what_was_found_is_counted_in_the_report(report):
    texts = [text for text in Parsed(report).texts if text.strip()]
    at = texts.index("volume_difference_percent") + 1
    assert texts[at : at + 6] == ["Bladder", "2", "0", "0", "0", "1"]


def test_an_earlier_evaluation_is_replaced_with_its_pictures_and_options_are_taken_as_given(make, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "worst-01-Bladder-9.png").write_bytes(b"of an earlier one")
    (tmp_path / "evaluation.json").write_text("an earlier one")
    evaluation = make(tmp_path, tolerance_mm=0.5, worst=1)
    assert read_evaluation(tmp_path) == evaluation
    assert evaluation.setting.tolerance_mm == 0.5
    assert len(list((tmp_path / "pictures").glob("worst-*"))) == 2
    assert "0.5 mm" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_folder_with_something_else_is_left_alone(make, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("one")
    with pytest.raises(EvaluationRefused, match="--out") as refusal:
        make(tmp_path / "thesis")
    assert refusal.value.code == "evaluation.folder-in-use"
    assert [file.name for file in (tmp_path / "thesis").iterdir()] == ["chapter"]


def test_without_matplotlib_there_is_all_but_the_pictures(make, tmp_path, monkeypatch):
    monkeypatch.setattr("models.evaluation.run.why_no_pictures", lambda: "no")
    make(tmp_path / "out")
    assert not (tmp_path / "out" / "pictures").exists()
    assert "data:image" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
