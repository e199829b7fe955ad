"""The short form of ``make second-look``: what is done to the structures of phantoms is seen; of clean ones none is held.

Structures are the truth of coarse phantoms, no model runs; the ranges are those of the shipped card.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from corrupted.__main__ import plain, table_of_clean, table_of_spoiled
from corrupted.corruptions import OF_CT, OF_STRUCTURES, Case
from corrupted.counting import Clean, Row, count_clean, count_corrupted, findings_of, said_of

from models.cards.catalog import find_bundle
from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED, pelvic_phantom
from models.volume import Finding, Severity, StructureField

SEEDS = range(NEVER_TRAINED_FROM_SEED + 700, NEVER_TRAINED_FROM_SEED + 703)


@pytest.fixture(scope="module")
def card():
    return find_bundle("pelvis-ct@2.0", ())


@pytest.fixture(scope="module")
def cases(card):
    found = []
    for seed in SEEDS:
        phantom = pelvic_phantom(seed)
        sample = phantom.sample(phantom.grid(pixel_mm=3.0, slice_mm=4.0))
        truth = {name: mask for name, mask in sample.truth().items() if name in card.structures}
        fields = {name: StructureField.of_mask(mask) for name, mask in truth.items()}
        found.append(Case(sample.volume, fields, sample))
    return found


def clean_findings(case, card):
    return findings_of(said_of(case, card), case.volume, card)


def test_clean_phantoms_are_neither_held_nor_stopped(cases, card):
    for case in cases:
        found = clean_findings(case, card)
        assert [each for each in found if each.severity in (Severity.HOLD, Severity.STOP)] == []
        assert len(found) <= 2


@pytest.mark.parametrize("what", OF_STRUCTURES | OF_CT)
def test_what_was_done_is_seen(what, cases, card):
    row = Row(what)
    for number, case in enumerate(cases):
        clean = {(each.code, each.structure) for each in clean_findings(case, card)}
        spoiled = (OF_STRUCTURES | OF_CT)[what](case, np.random.default_rng(number))
        count_corrupted(row, case, spoiled, clean, card)
    assert row.cases == len(cases)
    assert row.found >= len(cases) - 1  # a shift of 30 mm may end where another patient has it


def test_swapped_sides_are_stopped_and_missing_slices_held(cases, card):
    for what, level in (("sides swapped", "stop"), ("three slices missing within", "hold")):
        row = Row(what)
        for case in cases:
            spoiled = OF_STRUCTURES[what](case, np.random.default_rng(1))
            count_corrupted(row, case, spoiled, set(), card)
        assert row.strictest == {level: len(cases)}


def test_the_tables_say_what_was_counted():
    row = Row("shifted", cases=3, found=2)
    row.codes.update({"structure.order-wrong": 2})
    row.strictest.update({"hold": 2})
    assert table_of_spoiled([row]).splitlines()[2] == (
        "| shifted | 3 | 2 | 0 | 2 | 0 | `structure.order-wrong` 2 |"
    )
    clean = Clean("phantoms")
    wrong = Finding("structure.uncertain", "x", "Colon")
    held = Finding("structure.overlap", "x", "Bladder", Severity.HOLD)
    count_clean(clean, (wrong,), {"Bladder": True, "Colon": False})
    count_clean(clean, (held,), {"Bladder": True, "Colon": True})
    assert table_of_clean([clean]).splitlines()[2] == (
        "| phantoms | 2 | 4, 3 | 1 | 0 | `structure.overlap` 1 | `structure.uncertain` 1 |"
    )
    assert json.loads(json.dumps(plain(row)))["codes"] == {"structure.order-wrong": 2}
