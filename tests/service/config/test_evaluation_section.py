"""What the section on reviewed structure sets may say, and what stands there unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.backlog.review_records import GRADES, MEASURES
from service.config.evaluation_section import EvaluationSection, GradeRules, Measure
from service.config.reader import parse
from service.errors import ConfigInvalid

FILE = """\
senders: {A: {}}
destinations: {tps: {ae_title: T, host: 127.0.0.1, port: 1}}
protocols: {external: {model: external@1.0, structures: {External: }}}
routes: [{name: all, when: {Modality: CT}, contour: external, send_to: [tps], mode: send}]
evaluation:
  keep_days: 30
  tolerances_mm: {Bladder: 3, Rectum: 2.5}
  synonyms: {Bladder: [Blase, "Harn Blase"]}
  grades: {acceptable: {at_least: {dsc: 0.9}, at_most: {hd95_mm: 3}}}
  query: {destinations: [tps], at: 02:30}
"""


def read(text: str = FILE) -> EvaluationSection:
    return parse(text, Path("/nowhere/config.yaml"), check_bundles=False).site.evaluation


def test_numbers_by_structure_and_by_measure_are_numbers():
    found = read()
    assert found.tolerances_mm == {"Bladder": 3.0, "Rectum": 2.5}
    assert found.grades.acceptable.at_least == {"dsc": 0.9}
    assert found.grades.acceptable.at_most == {"hd95_mm": 3.0}
    assert found.synonyms == {"Bladder": ["Blase", "Harn Blase"]}
    assert found.query.at == "02:30"


@pytest.mark.parametrize(
    ("wrong", "instead", "says"),
    [
        ("dsc: 0.9", "dice: 0.9", "dice"),
        ("Bladder: 3,", "Bladder: three,", "allowed: a number"),
        ("[tps]", "[archive]", "'archive', no destination; allowed: tps"),
        ("02:30", "25:00", "a time of day"),
        (
            "{Bladder: [Blase",
            "{Femur_Head_L: [hip right",
            "'hip right' says the other side than Femur_Head_L",
        ),
    ],
)
def test_mistakes_are_said(wrong, instead, says):
    with pytest.raises(ConfigInvalid, match=says):
        read(FILE.replace(wrong, instead))


def test_rules_speak_of_the_measures_that_there_are_and_of_all_grades_but_the_last():
    assert set(Measure.__args__) == set(MEASURES)
    assert tuple(GradeRules.model_fields) == GRADES[:-1]
