"""The best grade whose limits all hold."""

from __future__ import annotations

import pytest
from reviewed_structures import measures

from service.config.evaluation_section import GradeRules
from service.evaluation.grading import estimated_grade

STRICT = GradeRules.model_validate(
    {
        "acceptable": {"at_least": {"dsc": 0.95}, "at_most": {"hd95_mm": 3.0}},
        "minor": {"at_least": {"dsc": 0.9}},
    }
)


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({"dsc": 0.95, "hd95_mm": 3.0}, "acceptable"),
        ({"dsc": 0.95, "hd95_mm": 3.1}, "minor"),
        ({"dsc": 0.89, "hd95_mm": 3.1}, "major"),  # by the rule that stands there unsaid: surface DSC 0.6
        ({"dsc": 0.5, "surface_dsc": 0.59}, "not-acceptable"),
    ],
)
def test_rules_of_the_configuration(changes, grade):
    assert estimated_grade(measures(**changes), STRICT) == grade


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, "acceptable"),
        ({"surface_dsc": 0.95, "slices_added_superior": 1.0}, "acceptable"),
        ({"slices_added_superior": 2.0}, "minor"),
        ({"slices_removed_inferior": 4.0}, "major"),
        ({"surface_dsc": 0.94}, "minor"),
        ({"surface_dsc": 0.84}, "major"),
        ({"surface_dsc": 0.5}, "not-acceptable"),
    ],
)
def test_rules_that_stand_there_unsaid(changes, grade):
    assert estimated_grade(measures(**changes), GradeRules()) == grade


def test_without_a_distance_no_limit_on_it_holds_and_without_measures_there_is_no_grade():
    apart = measures(dsc=0.0)
    del apart["surface_dsc"]
    assert estimated_grade(apart, GradeRules()) == "not-acceptable"
    assert estimated_grade({}, GradeRules()) is None
