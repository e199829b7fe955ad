"""A model whose every mistake is known is measured as it is."""

import pytest
from evaluation_cases import write_bundle, write_data

from models.evaluation.evaluation import EvaluationRefused, evaluate, setting_of
from models.predictor import load


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


@pytest.fixture
def card(tmp_path):
    return write_bundle(tmp_path / "bundle")


def test_the_setting_says_what_is_compared_and_what_cannot_be(card, data):
    setting = setting_of(card, data, "test", 2.0, "cpu")
    assert setting.structures == ("Bladder", "Rectum", "Sacrum")
    assert setting.not_in_data == ("Uterus",)
    assert setting.not_offered == ("Spine",)
    assert (setting.model, setting.validated, setting.device) == ("known@1.0", False, "cpu")
    assert setting.sha256 == card.program.sha256
    assert setting.data_fingerprint == data.fingerprint


def test_every_case_is_compared_where_it_is_known(card, data):
    found = evaluate(load(card, "cpu"), data, setting_of(card, data, "test", 2.0, "cpu"))
    assert [case.name for case in found.cases] == ["p0001-1", "p0001-2", "p0002-1", "p0003-1"]
    first, second, third, refused = found.cases
    assert {name: each.found for name, each in first.figures.items()} == {"Bladder": "both", "Rectum": "both"}
    assert first.figures["Bladder"].values["DSC"] == 0.5
    assert {name: each.found for name, each in second.figures.items()} == {
        "Bladder": "both",
        "Rectum": "missed",
        "Sacrum": "absent",
    }
    assert {name: each.found for name, each in third.figures.items()} == {"Rectum": "invented"}
    assert first.slices == 6
    assert first.seconds > 0
    assert refused.refused == "model.outside-region: No <pelvis> is seen."
    assert (refused.seconds, refused.figures) == (None, {})
    assert found.answered == (first, second, third)


def test_background_counts_where_every_structure_is_known(card, data):
    found = evaluate(load(card, "cpu"), data, setting_of(card, data, "test", 2.0, "cpu"))
    assert found.cases[0].background == {}  # nobody looked for a sacrum
    # 480 voxels less 8 of bladder and 24 of rectum; the answer lacks the rectum.
    assert found.cases[1].background["DSC"] == pytest.approx(2 * 448 / (448 + 472))


def test_who_watches_sees_truth_and_answer_and_how_far_it_is(card, data):
    seen, told = [], []

    def watch(case, structure, figures, truth, answer):
        seen.append((case.name, structure, int(truth.sum()), int(answer.sum())))

    evaluate(
        load(card, "cpu"),
        data,
        setting_of(card, data, "test", 2.0, "cpu"),
        watch=watch,
        progress=lambda part, name: told.append((part, name)),
    )
    assert ("p0001-1", "Bladder", 8, 8) in seen
    assert ("p0001-2", "Rectum", 24, 0) in seen
    assert len(seen) == 6
    parts = [part for part, _ in told]
    assert parts == sorted(parts)
    assert (told[0], told[-1]) == ((0.0, "p0001-1"), (1.0, ""))


def test_all_parts_are_evaluated_if_none_is_named(card, data):
    found = evaluate(load(card, "cpu"), data, setting_of(card, data, None, 2.0, "cpu"))
    assert len(found.cases) == 5


def test_a_part_without_cases_is_refused(card, data):
    with pytest.raises(EvaluationRefused, match="no case in its validation part") as refusal:
        setting_of(card, data, "validation", 2.0, "cpu")
    assert refusal.value.code == "evaluation.no-case"


def test_a_model_that_has_nothing_in_common_with_the_data_is_refused(data, tmp_path):
    structures = {"Liver": {"extent": "all of it", "volume_cm3": [1, 10]}}
    card = write_bundle(tmp_path / "other", structures=structures)
    with pytest.raises(EvaluationRefused, match="offers Liver; the data set has Bladder") as refusal:
        setting_of(card, data, "test", 2.0, "cpu")
    assert refusal.value.code == "evaluation.nothing-in-common"


def test_an_answer_that_is_not_finite_counts_as_refused(data, tmp_path):
    code = """
    import numpy as np
    def segment(volume):
        return {"Bladder": np.full(volume.hu.shape, np.nan, np.float32)}
    """
    card = write_bundle(tmp_path / "wild", name="wild", code=code)
    found = evaluate(load(card, "cpu"), data, setting_of(card, data, "test", 2.0, "cpu"))
    assert [case.refused.partition(":")[0] for case in found.cases] == ["model.not-finite"] * 4
