import hashlib
from textwrap import dedent

import numpy as np
import pytest
import yaml

from models.cards.card import BundleError, read_card
from models.runtimes.program import as_field, load_program
from models.volume import CtVolume, StructureField

CODE = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np

@dataclass
class Ball:
    radius: float

def segment(volume):
    z, y, x = np.mgrid[: volume.hu.shape[0], : volume.hu.shape[1], : volume.hu.shape[2]]
    return {"Bladder": (np.hypot(np.hypot(z - 3, y - 3), x - 3) < Ball(2.0).radius) * 0.9}

constant = 3
"""


@pytest.fixture
def program_bundle(tmp_path):
    def make(code=CODE, **changes):
        (tmp_path / "model.py").write_text(dedent(code))
        sha256 = hashlib.sha256((tmp_path / "model.py").read_bytes()).hexdigest()
        content = {
            "name": "analytic", "version": "1.0", "kind": "program", "summary": "a ball", "intended_use": "tests",
            "licence": "Apache-2.0", "validated": True, "validation": "exact",
            "structures": {"Bladder": {"extent": "a ball", "volume_cm3": [0.001, 10]}},
            "program": {"file": "model.py", "sha256": sha256, **changes},
        }  # fmt: skip
        (tmp_path / "card.yaml").write_text(yaml.safe_dump(content))
        return read_card(tmp_path / "card.yaml")

    return make


def test_a_programs_function_is_called_with_the_volume(program_bundle, make_grid):
    segment = load_program(program_bundle())
    answer = segment(CtVolume(np.zeros((7, 7, 7), np.int16), make_grid((7, 7, 7))))
    assert answer["Bladder"][3, 3, 3] == 0.9


def test_a_program_that_was_changed_is_not_run(program_bundle, tmp_path):
    card = program_bundle()
    (tmp_path / "model.py").write_text("raise SystemExit('this must not run')")
    with pytest.raises(BundleError) as refusal:
        load_program(card)
    assert refusal.value.code == "model.hash-mismatch"


@pytest.mark.parametrize("name", ["absent", "constant"])
def test_a_program_without_its_function_is_refused(program_bundle, name):
    with pytest.raises(BundleError) as refusal:
        load_program(program_bundle(function=name))
    assert refusal.value.code == "model.program-invalid"


def test_an_entry_that_is_not_installed_is_refused(program_bundle):
    with pytest.raises(BundleError) as refusal:
        load_program(program_bundle(file=None, sha256=None, entry="models.nowhere:segment"))
    assert refusal.value.code == "model.file-missing"


def test_a_probability_becomes_its_logit_cropped_with_a_margin():
    probability = np.full((6, 6, 6), 0.2)
    probability[2:4, 2:4, 3] = 0.9
    field = as_field(probability, (6, 6, 6))
    assert field.corner_zyx == (1, 1, 2)
    assert field.field.shape == (4, 4, 3)
    assert field.field[1, 1, 1] == pytest.approx(np.log(9), rel=1e-5)
    assert field.field[0, 0, 0] == pytest.approx(-np.log(4), rel=1e-5)


def test_certainty_stays_finite():
    field = as_field(np.pad(np.ones((1, 1, 1)), 1), (3, 3, 3))
    assert np.isfinite(field.field).all()


def test_nothing_likely_is_no_structure_and_a_field_is_passed_on():
    assert as_field(np.full((3, 3, 3), 0.5), (3, 3, 3)) is None
    assert as_field(StructureField(np.full((1, 1, 1), -1, np.float32), (0, 0, 0)), (3, 3, 3)) is None
    given = StructureField(np.ones((1, 1, 1), np.float32), (0, 0, 0))
    assert as_field(given, (3, 3, 3)) is given


@pytest.mark.parametrize(
    "answer",
    [
        np.ones((2, 2, 2)),
        StructureField(np.ones((3, 3, 3), np.float32), (0, 0, 1)),
        StructureField(np.ones((1, 1, 1), np.float32), (-1, 0, 0)),
    ],
)
def test_an_answer_that_does_not_lie_on_the_ct_is_refused(answer):
    with pytest.raises(BundleError) as refusal:
        as_field(answer, (3, 3, 3))
    assert refusal.value.code == "model.answer-invalid"
