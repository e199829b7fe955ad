import csv
import json

import pytest
from evaluation_cases import write_bundle, write_data

from models.evaluation.evaluation import EvaluationRefused, evaluate, setting_of
from models.evaluation.figures import NAMES
from models.evaluation.files import read_evaluation, write_evaluation
from models.predictor import load


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    data, card = write_data(folder / "data"), write_bundle(folder / "bundle")
    return evaluate(load(card, "cpu"), data, setting_of(card, data, "test", 2.0, "cpu"))


def lines(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_what_is_written_is_read_back(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path / "out")
    assert read_evaluation(tmp_path / "out") == evaluation


def test_a_line_for_each_structure_of_each_case(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path)
    found = lines(tmp_path / "figures.csv")
    assert list(found[0]) == ["case", "patient", "structure", "found", "truth_cm3", "answer_cm3", *NAMES]
    assert len(found) == 6
    first = found[0]
    assert (first["case"], first["patient"], first["structure"]) == ("p0001-1", "p0001", "Bladder")
    assert (float(first["DSC"]), float(first["ASSD_mm"]), float(first["truth_cm3"])) == (0.5, 0.75, 0.048)
    missed = found[3]
    assert (missed["structure"], missed["found"], missed["DSC"], missed["HD_mm"]) == (
        "Rectum",
        "missed",
        "0",
        "",
    )


def test_a_line_for_each_case(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path)
    found = {line["case"]: line for line in lines(tmp_path / "cases.csv")}
    assert found["p0001-1"]["unknown"] == "Sacrum"
    assert float(found["p0001-1"]["mDSC"]) == 0.75
    assert float(found["p0001-2"]["background_DSC"]) == pytest.approx(896 / 920, abs=1e-6)
    assert found["p0003-1"]["refused"] == "model.outside-region: No <pelvis> is seen."
    assert found["p0003-1"]["seconds"] == ""


def test_a_line_for_each_structure_and_metric_over_cases_slices_and_structures(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path)
    found = {
        (line["structure"], line["metric"], line["over"]): line for line in lines(tmp_path / "summary.csv")
    }
    assert float(found["Bladder", "DSC", "cases"]["mean"]) == 0.75
    assert float(found["Rectum", "DSC_slices", "slices"]["mean"]) == pytest.approx(6 / 13, abs=1e-6)
    assert found["Sacrum", "DSC", "cases"]["n"] == "0"
    assert found["Sacrum", "DSC", "cases"]["mean"] == ""
    assert float(found["all", "mDSC", "structures"]["mean"]) == pytest.approx(0.541667, abs=1e-6)
    assert float(found["background", "DSC", "cases"]["mean"]) == pytest.approx(896 / 920, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format="another"),
        lambda content: content["setting"].update(tolerance_mm="two"),
        lambda content: content["cases"][0].pop("figures"),
        lambda content: content["cases"][0]["figures"]["Bladder"].update(found="guessed"),
    ],
)
def test_a_file_that_was_changed_is_refused(evaluation, tmp_path, change):
    write_evaluation(evaluation, tmp_path)
    file = tmp_path / "evaluation.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(EvaluationRefused, match="evaluate again") as refusal:
        read_evaluation(tmp_path)
    assert refusal.value.code == "evaluation.unreadable"


@pytest.mark.parametrize("text", [None, "", "[1]", "{"])
def test_a_file_that_is_none_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(EvaluationRefused):
        read_evaluation(tmp_path)
