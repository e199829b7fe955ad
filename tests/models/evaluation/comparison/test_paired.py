"""An old model and a new one, case by case, in figures that can be had on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_cases import measured_entry

from models.evaluation.comparison.paired import draw_pairs, paired, paired_table
from models.evaluation.evaluation import CaseResult, Evaluation
from models.evaluation.figures import Figures


@pytest.fixture(scope="module")
def some(tmp_path_factory) -> Evaluation:
    return measured_entry(tmp_path_factory.mktemp("entry")).evaluation


def evaluation(some: Evaluation, dsc: list[float | None], patients: list[str] | None = None) -> Evaluation:
    """Of Bladder alone, with these DSC; None for a case that the model refuses."""
    cases = []
    for number, value in enumerate(dsc):
        known = Figures("both", {"DSC": value, "HD95_mm": 10 * (value or 0)}, 1.0, 1.0)
        figures = {} if value is None else {"Bladder": known}
        refused = "no pelvis" if value is None else None
        patient = patients[number] if patients else f"p{number}"
        cases.append(CaseResult(f"c{number}", patient, 10, 1.0, figures, {}, (), refused))
    return Evaluation(replace(some.setting, structures=("Bladder",)), tuple(cases))


def line(some, old, new, **how) -> dict[str, str]:
    table = paired_table("a@1.0", "a@2.0", paired(evaluation(some, old, **how), evaluation(some, new, **how)))
    (only,) = table.lines
    return dict(zip(table.head, only, strict=True))


def test_medians_differences_and_counts(some):
    found = line(some, [0.8, 0.7, 0.9, 0.5], [0.9, 0.7, 0.88, 0.5])
    assert found["cases"] == "4"
    assert (found["DSC a@1.0"], found["DSC a@2.0"]) == ("0.750", "0.790")
    assert found["mean difference"] == "+0.020"  # (.1 + 0 - .02 + 0) / 4
    assert (found["better"], found["worse"]) == ("1", "1")
    assert (found["HD95 mm, old"], found["HD95 mm, new"]) == ("7.50", "7.90")
    assert found["95 % interval"] == "-", "of four patients there is none"


def test_a_case_that_one_refuses_is_no_pair(some):
    found = line(some, [0.8, None, 0.6], [0.9, 0.9, None])
    assert (found["cases"], found["mean difference"]) == ("1", "+0.100")


def test_the_interval_is_of_patients_and_not_of_cases(some):
    old, new = [0.5] * 6, [0.6] * 6
    assert line(some, old, new)["95 % interval"] == "+0.100 to +0.100"
    same_patient = ["p0", "p0", "p1", "p1", "p2", "p2"]
    assert line(some, old, new, patients=same_patient)["95 % interval"] == "-"
    differences = [0.0, 0.1, 0.2, 0.3, 0.4, 0.0, 0.1, 0.2, 0.3, 0.4]
    low, high = paired(evaluation(some, [0.5] * 10), evaluation(some, [0.5 + each for each in differences]))[
        0
    ].interval()
    spread = np.std(differences) / np.sqrt(10)  # of the mean, as drawing anew has it
    assert low == pytest.approx(0.2 - 1.96 * spread, abs=0.02)
    assert high == pytest.approx(0.2 + 1.96 * spread, abs=0.02)


def test_what_was_measured_on_other_cases_has_no_pairs(some):
    other = evaluation(some, [0.8])
    other = replace(other, setting=replace(other.setting, data_fingerprint="0" * 64))
    assert paired(evaluation(some, [0.8]), other) == []


def test_a_picture_of_every_case(some, tmp_path):
    pytest.importorskip("matplotlib")
    pairs = paired(evaluation(some, [0.8, 0.7]), evaluation(some, [0.9, 0.6]))
    draw_pairs("a@1.0", "a@2.0", pairs, tmp_path / "new" / "picture.png")
    assert (tmp_path / "new" / "picture.png").read_bytes()[:4] == b"\x89PNG"
