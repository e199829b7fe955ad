"""What the report says, by the texts on its pages and the cases that it chose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reviewed_structures import reviewed

from service.evaluation.agreement import agreement_of
from service.evaluation.charted import CHARTED
from service.evaluation.commissioning_pdf import ReportRefused, sheets_of, write_pdf
from service.evaluation.commissioning_report import (
    CasePicture,
    CommissioningReport,
    ModelUnderTest,
    examples_of,
    structures_under_test,
)
from service.evaluation.control_chart import Smoothing
from service.evaluation.quality import Plan, charts

PLAN = Plan(10, None, CHARTED["dsc"], Smoothing())
MODEL = ModelUnderTest(
    "pelvis-ct@2.0", "ab" * 32, validated=False, validation="synthetic", intended_use="research"
)


def cases(n=12, **fields):
    return [reviewed(week=k, dsc=0.80 + 0.01 * k, job_id=f"job{k}", **fields) for k in range(n)]


def no_picture(_case, _place):
    return None


def report(structures, **fields):
    known = {"node": "DELINEATE", "made": "2026-01-20", "software": "0.1.0", "configuration": "0" * 12}
    known |= {"models": [MODEL], "structures": structures, "agreement": agreement_of([]), "rule": "A rule."}
    return CommissioningReport(**(known | fields))


def texts(report) -> list[str]:
    """Of every page, what stands on it."""
    found = []
    for figure in sheets_of(report):
        said = [each.get_text() for each in figure.texts]
        for axis in figure.axes:
            said += [axis.get_title(), *(each.get_text() for each in axis.texts)]
            said += [
                cell.get_text().get_text() for table in axis.tables for cell in table.get_celld().values()
            ]
        found.append("\n".join(said).replace("\n", " "))
    return found


def test_best_median_and_worst_are_those_of_the_commissioning():
    (chart,) = charts(cases(), PLAN, {})
    (one,) = structures_under_test([chart], no_picture)
    # the first ten: 0.80 to 0.89
    assert {place: case.job_id for place, case in one.examples.items()} == {
        "best": "job9", "median": "job4", "worst": "job0",
    }  # fmt: skip
    assert len(one.cases) == 10
    assert one.figures()[0] == ("DSC", 10, "0.845", "0.823", "0.868", "0.800")
    assert one.grades() == {"acceptable": 10, "minor": 0, "major": 0, "not-acceptable": 0}


def test_of_a_distance_the_longest_is_the_worst_and_one_case_is_shown_once():
    (chart,) = charts(
        [reviewed(hd95_mm=float(k), job_id=f"job{k}", week=k) for k in range(2)], PLAN, {}, CHARTED["hd95_mm"]
    )
    found = examples_of(chart, chart.reviewed)
    assert {place: case.job_id for place, case in found.items()} == {"best": "job0", "worst": "job1"}


def test_the_pages_say_who_what_and_how_good_and_leave_room_to_sign():
    (chart,) = charts(cases(), PLAN, {})
    front, bladder, guidance = texts(report(structures_under_test([chart], no_picture)))
    for said in (
        "Node DELINEATE",
        "ab" * 32,
        "NOT VALIDATED",
        "A rule.",
        "Medical physicist",
        "Signature",
        "Date",
    ):
        assert said in front
    assert "Bladder pelvis pelvis-ct@2.0 10 DSC 0.845 0.823 – 0.868" in front
    assert "NOT COMPLETE" not in front
    assert "10 cases in this report, 12 in all" in bladder
    assert "files were deleted" in bladder
    assert "Vandewinckele" in guidance
    assert "no dose is computed" in guidance


def test_a_commissioning_that_lacks_cases_says_so():
    (chart,) = charts(cases(4), PLAN, {})
    front = texts(report(structures_under_test([chart], no_picture)))[0]
    assert "NOT COMPLETE: 1 of 1 lines lack cases" in front
    assert "in commissioning: 4 of 10" in front


def test_a_model_in_the_shadow_is_not_commissioned():
    assert structures_under_test(charts(cases(is_shadow=True), PLAN, {}), no_picture) == []


def test_many_structures_go_on_over_pages_without_losing_one(tmp_path):
    rows = [replace(each, structure=f"S{number:02d}") for number in range(60) for each in cases(2)]
    pages = texts(report(structures_under_test(charts(rows, PLAN, {}), no_picture)[:60]))
    front = " ".join(pages[:-61])
    assert all(f"S{number:02d} pelvis" in front for number in range(60))
    assert "Medical physicist" in front


def test_pictures_show_both_contours():
    square = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 4.0]])
    shown = CasePicture("best", np.zeros((6, 6), np.int16), [square], [square + 1], 1.0)
    (chart,) = charts(cases(), PLAN, {})
    page = sheets_of(
        report(structures_under_test([chart], lambda _c, place: shown if place == "best" else None))
    )[1]
    (axis,) = [each for each in page.axes if each.images]
    ours, theirs = axis.lines
    assert np.array_equal(ours.get_xydata()[:4], square)
    assert np.array_equal(theirs.get_xydata()[:4], square + 1)
    assert ours.get_linestyle() != theirs.get_linestyle()  # not by colour alone


def test_without_reviews_there_is_no_report(tmp_path):
    with pytest.raises(ReportRefused) as refused:
        write_pdf(report([]), tmp_path / "c.pdf")
    assert refused.value.code == "report.nothing-reviewed"
