"""Model and candidate on the same CTs: what is paired, counted and left out."""

from __future__ import annotations

import pytest
from reviewed_structures import reviewed

from service.evaluation.side_by_side import pairs_of, side_by_side, unpaired


def of(number: int, dsc: float, *, shadow: bool = False, structure: str = "Bladder", **changes: object):
    """The structure of set ``number``."""
    names = {"model": "new@2.0" if shadow else "old@1.0", "is_shadow": shadow, "set_id": number}
    return reviewed(structure, number=2 * number + shadow, dsc=dsc, **names, **changes)


def test_medians_are_of_the_cases_that_both_have():
    own = [of(1, 0.80), of(2, 0.90), of(3, 0.70), of(4, 0.10)]  # nothing of the candidate for set 4
    new = [of(1, 0.85, shadow=True), of(2, 0.90, shadow=True), of(3, 0.60, shadow=True)]
    (line,) = side_by_side(pairs_of(own, new))
    assert (line.structure, line.cases, line.better, line.worse) == ("Bladder", 3, 1, 1)
    assert line.model["dsc"] == pytest.approx(0.80)
    assert line.candidate["dsc"] == pytest.approx(0.85)
    assert unpaired(own, pairs_of(own, new)) == {"Bladder": 1}


def test_a_difference_of_less_than_a_two_hundredth_is_none():
    own = [of(1, 0.900), of(2, 0.900), of(3, 0.900)]
    new = [of(1, 0.904, shadow=True), of(2, 0.906, shadow=True), of(3, 0.894, shadow=True)]
    (line,) = side_by_side(pairs_of(own, new))
    assert (line.better, line.worse) == (1, 1)


def test_structures_are_told_apart_and_what_was_not_measured_has_no_pair():
    own = [of(1, 0.8), of(1, 0.7, structure="Rectum"), of(2, 0.8, code="review.other-ct")]
    own[2] = reviewed(number=99, set_id=2, measures={})
    new = [of(1, 0.9, shadow=True, structure="Rectum"), of(2, 0.9, shadow=True)]
    pairs = pairs_of(own, new)
    assert [line.structure for line in side_by_side(pairs)] == ["Rectum"]
    assert unpaired(own, pairs) == {"Bladder": 1}
