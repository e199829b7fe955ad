"""Figures of a card as charts: what is drawn where can be computed on paper."""

from __future__ import annotations

import pytest

from service.console.pages.model_figures import Chart, charts_of

LEFT, BREADTH = 128, 480 - 128 - 96  # of the picture, and of its part for values


def chart(figures: object) -> Chart:
    (found,) = charts_of(figures)
    return found


def test_a_bar_is_as_long_as_its_figure_beside_one():
    found = chart({"stage": "1000 steps", "test": {"Bladder": "0.5", "Rectum": "1"}, "test_cases": "7"})
    assert (found.title, found.series) == ("test", ("",))
    assert [(row.name, row.y, row.bar, row.said) for row in found.rows] == [
        ("Bladder", 4 + 9, BREADTH / 2, "0.5"),
        ("Rectum", 4 + 18 + 9, BREADTH, "1"),
    ]
    assert found.ticks == ((LEFT, "0"), (LEFT + BREADTH / 2, "0.5"), (LEFT + BREADTH, "1"))
    assert found.height == 4 + 2 * 18 + 18


def test_another_version_is_a_mark_at_its_own_figure_and_millimetres_have_a_round_end():
    found = chart(
        {"patients_HD95_mm": {"now": {"Bladder": "4", "Colon": "15"}, "version_1_1": {"Bladder": "8"}}}
    )
    assert (found.title, found.series) == ("patients HD95 mm", ("now", "version 1 1"))
    assert [text for _, text in found.ticks] == ["0", "10", "20"]
    bladder, colon = found.rows
    assert (bladder.bar, bladder.marks) == (round(BREADTH * 4 / 20, 1), (round(LEFT + BREADTH * 8 / 20, 1),))
    assert (colon.marks, colon.said) == ((), "15 | –")


@pytest.mark.parametrize(
    "written",
    [{"mean": "0.5", "p5": "0.25", "p95": "0.75"}, {"median": "0.5", "low": "0.25", "high": "0.75"},
     {"mean": "0.5", "sd": "0.25"}],
)  # fmt: skip
def test_a_range_is_a_line_from_end_to_end(written):
    (row,) = chart({"DSC": {"Bladder": written}}).rows
    assert row.line == (LEFT + BREADTH / 4, LEFT + BREADTH * 3 / 4)
    assert (row.bar, row.said) == (BREADTH / 2, "0.5 (0.25–0.75)")


@pytest.mark.parametrize(
    "figures",
    [None, "0.9 by hand", {"n": "7"}, {"test": {"Bladder": "high"}}, {"bias_cm3": {"Bladder": "-3"}},
     {"DSC": {"Bladder": "nan"}}, {"DSC": {}}, {"test": {"mean": "0.9", "sd": "0.1"}}, {"list": ["1", "2"]}],
    ids=str,
)  # fmt: skip
def test_what_is_no_figure_by_structure_is_left_to_the_text(figures):
    assert list(charts_of(figures)) == []


def test_groups_within_groups_are_found_with_their_whole_title():
    found = list(
        charts_of({"WORD": {"hint": "ten cases", "DSC": {"a": {"Bladder": "0.9"}, "b": {"Bladder": "0.8"}}}})
    )
    assert [each.title for each in found] == ["WORD DSC"]
