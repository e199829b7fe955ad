"""Statistics of a card: from cases whose amounts are known on paper, and a card that keeps every other line."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from models.cards.card import BundleError, read_card
from models.data_sets.data_set import Case, DataSet, DataSetWriter
from models.evaluation.evaluation import EvaluationRefused
from models.training.bundles.card_statistics import measured_statistics, with_statistics
from models.training.bundles.case_statistics import statistics_of
from models.volume import CtVolume, Grid, OutsideTrainedRegion, Provenance, Segmentation, StructureField

GRID = Grid(
    np.array([[0.0, 0, 3 * k] for k in range(20)]), np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), 40, 40
)
CARD = """\
# a comment that stays
name: boxes
version: "1.0"
kind: program
summary: For tests.   # and so does this
intended_use: Tests.
licence: Apache-2.0
validated: true
validation: by construction
program: {entry: "models.external:segment"}
structures:
  Bladder: {extent: all, volume_cm3: [1, 20]}
  Rectum: {extent: all, volume_cm3: [1, 20]}
  Spine: {extent: all, volume_cm3: [1, 90], reaches_out: true}
"""


def box(z, y, x):
    mask = np.zeros(GRID.shape_zyx, bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def case(number, **masks):
    hu = np.zeros(GRID.shape_zyx, np.int16)
    hu[masks["Bladder"]] = 10 * number
    return Case(f"c{number}", f"p{number}", CtVolume(hu, GRID), masks)


BLADDER = box((5, 10), (10, 20), (10, 20))  # 5 * 10 * 10 * 12 mm3 = 6 cm3
RECTUM = box((5, 15), (25, 30), (10, 20))
SPINE = box((0, 20), (30, 35), (10, 20))
CASES = [
    case(1, Bladder=BLADDER, Rectum=RECTUM, Spine=SPINE),
    case(2, Bladder=box((5, 12), (10, 20), (10, 20)), Rectum=RECTUM, Spine=SPINE),
    case(3, Bladder=box((0, 10), (10, 20), (10, 20)), Rectum=np.zeros(GRID.shape_zyx, bool)),  # cut; absent
]


class Answers:
    """A predictor's place: answers what is given by case, or refuses."""

    def __init__(self, card, answers=()):
        self.card = card
        self.answers = list(answers)

    def segment(self, volume, structures):
        if not self.answers:
            raise OutsideTrainedRegion("region.no-pelvis", "No pelvis.")
        return Segmentation(self.answers.pop(0), Provenance("boxes", "1.0", "0", validated=True))


@pytest.fixture
def card(tmp_path):
    folder = tmp_path / "boxes"
    folder.mkdir()
    (folder / "card.yaml").write_text(CARD)
    return read_card(folder / "card.yaml")


def sure(mask, probability):
    """A field whose certainty within is ``probability``."""
    margin = np.float32(np.log(probability / (1 - probability)))
    return StructureField(np.where(mask, margin, -margin), (0, 0, 0))


def test_ranges_are_those_of_what_is_drawn_whole(card):
    found = statistics_of(Answers(card), CASES, 3, "three boxes")
    bladder = found["structures"]["Bladder"]
    assert bladder["cases"] == 2  # the third is cut off by the first slice
    assert bladder["volume_cm3"] == [6.0, 8.4]
    assert bladder["height_mm"] == [15.0, 21.0]
    assert bladder["mean_hu"] == [10.0, 20.0]
    assert bladder["end_shares"] == [[1.0, 1.0], [1.0, 1.0]]
    assert "certainty" not in bladder
    assert found["structures"]["Spine"]["cases"] == 2  # it is cut off in each, as it is by nature
    assert found["ct"]["cases"] == 3
    # rows 10 to 19 against 25 to 29: 12.5 rows of 2 mm in front; slices 7 and 8 against 9.5: 7.5 and 4.5 mm below
    assert found["places"] == {
        "Bladder": {"Rectum": {"cases": 2, "x_mm": [0.0, 0.0], "y_mm": [-25.0, -25.0], "z_mm": [-7.5, -4.5]}}
    }


def test_what_the_model_answers_counts_where_it_is_right(card):
    larger = box((5, 10), (10, 21), (10, 20))  # DSC 20/21
    elsewhere = box((5, 10), (10, 20), (18, 28))  # DSC .2
    answers = [{"Bladder": sure(larger, 0.9)}, {"Bladder": sure(elsewhere, 0.6)}, {}]
    bladder = statistics_of(Answers(card, answers), CASES, 3, "three boxes")["structures"]["Bladder"]
    assert bladder["volume_cm3"] == [6.0, 8.4]
    assert bladder["certainty"] == [0.9, 0.9]
    assert bladder["cases"] == 2


def test_the_model_is_run_on_as_many_as_are_asked_for(card):
    answers = Answers(card, [{"Bladder": sure(BLADDER, 0.9)}] * 9)
    statistics_of(answers, CASES, 3, "three boxes", asked=2)
    assert len(answers.answers) == 7
    statistics_of(answers, CASES, 3, "three boxes", asked=0)
    assert len(answers.answers) == 7


def test_a_card_gets_its_statistics_and_keeps_every_other_line(card):
    first = with_statistics(card, statistics_of(Answers(card), CASES, 3, "three boxes"))
    assert first.statistics.structures["Bladder"].volume_cm3 == (6.0, 8.4)
    again = with_statistics(first, statistics_of(Answers(card), CASES[:1], 1, "one box"))
    text = (card.folder / "card.yaml").read_text()
    assert text.startswith(CARD)
    assert text.count("statistics:") == 1
    assert again.statistics.data == "one box"
    assert [file.name for file in card.folder.iterdir()] == ["card.yaml"]


def test_statistics_that_do_not_fit_leave_the_card_as_it_was(card):
    content = statistics_of(Answers(card), CASES, 3, "three boxes")
    content["structures"]["Nose"] = content["structures"]["Bladder"]
    with pytest.raises(BundleError, match="Nose"):
        with_statistics(card, content)
    assert (card.folder / "card.yaml").read_text() == CARD
    assert len(list(card.folder.iterdir())) == 1


def test_a_data_set_is_measured_part_by_part(card, tmp_path):
    writer = DataSetWriter(tmp_path / "data", ["Bladder", "Rectum", "Spine"], "boxes")
    for each, part in zip(CASES, ("train", "train", "test"), strict=True):
        writer.add(each, part)
    writer.close()
    data = DataSet.open(tmp_path / "data")
    found = measured_statistics(card, data, "train", predictor=Answers(card))
    assert found["data"] == f"2 cases of 2 patients of data set {data.fingerprint[:12]}: boxes"
    assert found["ct"]["cases"] == 2
    assert measured_statistics(card, data, None, most=1, predictor=Answers(card))["ct"]["cases"] == 1
    with pytest.raises(EvaluationRefused) as refused:
        measured_statistics(card, data, "validation", predictor=Answers(card))
    assert refused.value.code == "evaluation.no-case"


def test_the_shipped_card_says_how_many_cases_are_behind_every_range(repository):
    statistics = read_card(repository / "models" / "bundles" / "pelvis-ct" / "card.yaml").statistics
    assert set(statistics.structures) == set(
        yaml.safe_load((repository / "models" / "bundles" / "pelvis-ct" / "card.yaml").read_text())[
            "structures"
        ]
    )
    assert min(each.cases for each in statistics.structures.values()) >= 8
    assert "synthetic" in statistics.data.casefold()
