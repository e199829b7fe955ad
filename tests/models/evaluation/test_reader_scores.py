"""Scores counted as the papers' tables count them."""

import csv

import pytest
from evaluation_cases import measured_entry

from models.evaluation.evaluation import EvaluationRefused
from models.evaluation.reader_scores import ReaderScores, read_scores, table_of, write_sheet, write_table

LIU_Z = {
    "Bladder": (132, 73, 17, 5),
    "BoneMarrow": (285, 213, 49, 0),
    "Femur_Head_L": (83, 34, 5, 0),
    "Femur_Head_R": (80, 44, 1, 0),
    "Rectum": (158, 101, 49, 9),
    "Bowel_Small": (203, 215, 93, 16),
    "SpinalCord": (173, 106, 14, 1),
}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    return measured_entry(tmp_path_factory.mktemp("entry")).evaluation


@pytest.fixture
def sheet(tmp_path):
    def write(*lines, head="case,structure,slice,revision"):
        (tmp_path / "sheet.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
        return tmp_path / "sheet.csv"

    return write


def test_liu_z_table_2_is_counted_as_it_is_printed():
    found = ReaderScores("revision", LIU_Z)
    assert [round(share, 2) for share in found.percentages("Bladder")] == [58.15, 32.16, 7.49, 2.20]
    assert [round(share, 2) for share in found.mean_percentages()] == [55.64, 34.70, 8.46, 1.20]


def test_liu_x_counts_two_grades_as_clinically_acceptable():
    counts = {
        "Bladder": (616, 28, 14, 20),
        "Rectum": (536, 61, 23, 58),
        "CTVn": (466, 117, 69, 26),
        "CTVp": (460, 90, 61, 67),
    }
    head, lines = table_of(ReaderScores("revision", counts))
    assert head[-1] == "clinically acceptable"
    assert [line[-1] for line in lines] == ["94.99%", "88.05%", "85.99%", "81.12%", "87.54%"]
    assert lines[0][1] == "616 (90.86%)"
    # The paper has 88.06 and 87.53: it adds percentages that were rounded.


def test_sartor_has_a_scale_of_its_own_without_such_a_sum():
    head, lines = table_of(ReaderScores("quality", {"CTVn": (1, 3, 2, 4)}))
    assert head == ["structure", "excellent", "good", "acceptable", "not acceptable"]
    assert lines[0] == ["CTVn", "1 (10.00%)", "3 (30.00%)", "2 (20.00%)", "4 (40.00%)"]


def test_a_sheet_has_a_line_for_whatever_was_contoured_and_is_read_when_filled_in(evaluation, tmp_path):
    write_sheet(evaluation, tmp_path / "sheet.csv")
    with (tmp_path / "sheet.csv").open(newline="") as stream:
        lines = list(csv.reader(stream))
    assert lines[0] == ["case", "structure", "slice", "revision"]
    assert [line[:2] for line in lines[1:]] == [
        ["p0001-1", "Bladder"],
        ["p0001-1", "Rectum"],
        ["p0001-2", "Bladder"],
        ["p0002-1", "Rectum"],
    ]
    with pytest.raises(EvaluationRefused, match="Nothing in the score sheet is scored yet"):
        read_scores(tmp_path / "sheet.csv", evaluation)
    text = (tmp_path / "sheet.csv").read_text().replace("Bladder,,", "Bladder,,Acceptable")
    (tmp_path / "sheet.csv").write_text(text)
    found = read_scores(tmp_path / "sheet.csv", evaluation)
    assert (found.scale, found.counts) == ("revision", {"Bladder": (2, 0, 0, 0)})


def test_scores_of_slices_and_a_spreadsheets_own_beginning(evaluation, sheet):
    lines = [
        "p0001-1,Bladder,2,acceptable",
        "p0001-1,Bladder,3,minor revision",
        ",,,",
        "p0001-2,Rectum,6,good",
    ]
    file = sheet(*lines[:3], head="\ufeffcase,structure,slice,revision")
    assert read_scores(file, evaluation).counts == {"Bladder": (1, 1, 0, 0)}
    assert read_scores(sheet(lines[3], head="case,structure,slice,quality"), evaluation).scale == "quality"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("p9,Bladder,,acceptable", "Line 3 .*no case p9"),
        ("p0001-1,Liver,,acceptable", "Line 3 .*no structure Liver"),
        ("p0001-1,Bladder,7,acceptable", "Line 3 .*7 is none of the slices 1 to 6"),
        ("p0001-1,Bladder,,excellent", "Line 3 .*excellent is none of acceptable, minor revision"),
        ("p0001-1,Bladder,acceptable", "Line 3 .*3 cells instead of 4"),
        ("p0001-1,Rectum,,acceptable", "Line 3 .*scored twice"),
    ],
)
def test_a_line_that_is_wrong_is_told(evaluation, sheet, line, told):
    with pytest.raises(EvaluationRefused, match=told) as refusal:
        read_scores(sheet("p0001-1,Rectum,,major revision", line), evaluation)
    assert refusal.value.code == "evaluation.scores"


@pytest.mark.parametrize("head", ["case,structure,revision", "case,structure,slice,grade", ""])
def test_another_table_is_refused(evaluation, sheet, head):
    with pytest.raises(EvaluationRefused, match="begins with the columns"):
        read_scores(sheet(head=head), evaluation)


def test_a_sheet_that_is_not_there_is_refused(evaluation, tmp_path):
    with pytest.raises(EvaluationRefused, match="cannot be read"):
        read_scores(tmp_path / "none.csv", evaluation)


def test_the_table_is_written(tmp_path):
    write_table(ReaderScores("revision", {"Bladder": (1, 1, 0, 0)}), tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as stream:
        assert list(csv.reader(stream))[1] == [
            "Bladder",
            "1 (50.00%)",
            "1 (50.00%)",
            "0 (0.00%)",
            "0 (0.00%)",
            "100.00%",
        ]
