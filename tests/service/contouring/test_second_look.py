"""What becomes of findings: told, the set held, the structure left out; and what is derived of what was left out."""

from dataclasses import replace

import numpy as np
import pytest

from models.cards.card import StructureCard, read_card
from models.volume import Finding, Grid, Provenance, Segmentation, Severity, StructureField
from service.config.protocol import Protocol
from service.contouring.second_look import held_because, looked_at
from service.errors import ModelRefused

GRID = Grid(
    np.array([[0.0, 0, 3 * k] for k in range(40)]), np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), 60, 60
)
CARD = StructureCard("x", (0.1, 1e5))


@pytest.fixture
def card(repository):
    return read_card(repository / "models" / "bundles" / "external" / "card.yaml")


def field(corner, shape, gap=None):
    values = np.ones(shape, np.float32)
    if gap is not None:
        values[gap] = -1
    return StructureField(values, corner)


def judged(card, protocol, fields, *findings, hu=None):
    """The model's card is any; that it offers these structures is put in."""
    offered = {**card.structures, **dict.fromkeys(fields, CARD)}
    known = replace(card, structures=offered)
    said = Segmentation(fields, Provenance("external", "1.0", "0", validated=True), findings)
    made = Protocol.model_validate({"model": "external@1.0", "structures": dict.fromkeys(fields)} | protocol)
    return looked_at(said, made, dict.fromkeys(fields, known), GRID, hu)


def levels(segmentation):
    return {(each.code, each.structure): each.severity for each in segmentation.findings}


BROKEN = {
    "Bladder": field((5, 10, 10), (10, 20, 20), gap=slice(4, 6)),
    "Rectum": field((5, 40, 10), (10, 9, 20)),
}
GAPS = ("structure.slices-missing", "Bladder")


def test_what_is_whole_has_no_findings_and_says_how_long_it_was_looked_at(card):
    found = judged(card, {}, {"Rectum": BROKEN["Rectum"]})
    assert found.findings == ()
    assert set(found.structures) == {"Rectum"}
    assert found.seconds["second_look"] >= 0


def test_missing_slices_hold_the_set_by_default(card):
    found = judged(card, {}, BROKEN)
    assert levels(found) == {GAPS: Severity.HOLD}
    assert set(found.structures) == {"Bladder", "Rectum"}
    assert held_because(found.findings) == (
        "Waits for a person to look at it: Bladder is missing on 2 of the slices between its first and its last."
    )


def test_a_site_says_what_becomes_of_a_code_a_group_and_a_structure(card):
    assert levels(judged(card, {"second_look": {"gaps": "note"}}, BROKEN)) == {GAPS: Severity.WARNING}
    by_structure = {
        "second_look": {"structure.slices-missing": "note"},
        "structures": {"Bladder": {"second_look": {"gaps": "stop"}}, "Rectum": None},
    }
    assert levels(judged(card, by_structure, BROKEN)) == {GAPS: Severity.STOP}


def test_what_a_site_ignores_is_not_told_of_one_structure_or_of_any(card):
    assert levels(judged(card, {"second_look": {"gaps": "ignore"}}, BROKEN)) == {}
    of_one = {"structures": {"Rectum": {"second_look": {"gaps": "ignore"}}, "Bladder": None}}
    assert levels(judged(card, of_one, BROKEN)) == {GAPS: Severity.HOLD}


def test_what_is_stopped_is_left_out_with_a_sentence_and_nothing_is_made_of_it(card):
    protocol = {
        "second_look": {"gaps": "stop"},
        "derived": {"Bladder_PRV05": {"of": "Bladder", "margin": 5}},
    }
    found = judged(card, protocol, BROKEN)
    assert set(found.structures) == {"Rectum"}
    sentences = {each.structure: each.sentence for each in found.findings}
    assert sentences["Bladder"].endswith("Bladder is left out. Draw it by hand.")
    assert "Bladder was not found or was left out" in sentences["Bladder_PRV05"]
    assert held_because(found.findings) is None


def test_what_is_stopped_holds_nothing_any_more(card):
    protocol = {"second_look": {"gaps": "hold", "absence": "stop"}}
    found = judged(
        card, protocol, BROKEN, Finding("structure.not-found", "Bladder is half there.", "Bladder")
    )
    assert set(levels(found).values()) == {Severity.STOP, Severity.WARNING}
    assert held_because(found.findings) is None


def test_findings_of_the_model_are_judged_too_and_notes_stay_notes(card):
    partial = Finding("region.partial", "Only part of the pelvis is on this CT.")
    note = Finding("structure.not-found", "Colon was not found.", "Colon", Severity.NOTE)
    other = Finding("model.something", "Of no second look.")
    fields = {"Rectum": BROKEN["Rectum"]}
    found = judged(card, {"second_look": {"field-of-view": "hold"}}, fields, partial, note, other)
    assert levels(found) == {
        ("region.partial", None): Severity.HOLD,
        ("structure.not-found", "Colon"): Severity.NOTE,
        ("model.something", None): Severity.WARNING,
    }


def test_a_finding_of_the_whole_ct_that_stops_refuses_it(card):
    partial = Finding("region.partial", "Only part of the pelvis is on this CT.")
    with pytest.raises(ModelRefused, match="Only part") as refused:
        judged(card, {"second_look": {"region.partial": "stop"}}, BROKEN, partial)
    assert refused.value.code == "region.partial"


def test_what_is_derived_is_looked_at_too(card):
    fields = {"External": field((0, 5, 5), (40, 50, 50)), "Femur_Head_L": field((5, 10, 40), (10, 10, 10))}
    fields["Femur_Head_R"] = field((5, 10, 10), (10, 10, 10))
    protocol = {"derived": {"zHead_R": {"of": "Femur_Head_L"}, "zHead_L": {"of": "Femur_Head_R"}}}
    found = judged(card, protocol, fields)
    assert levels(found) == {
        ("structure.wrong-side", "zHead_L"): Severity.STOP,
        ("structure.wrong-side", "zHead_R"): Severity.STOP,
    }
    assert set(found.structures) == set(fields)


def test_two_models_that_took_left_for_right_are_found_out_together(card):
    fields = {"Kidney_L": field((5, 10, 10), (10, 10, 10)), "Kidney_R": field((5, 10, 40), (10, 10, 10))}
    assert judged(card, {}, fields).structures == {}


def test_metal_is_seen_in_the_ct(card):
    hu = np.zeros(GRID.shape_zyx, np.int16)
    hu[:, 34:38, 15:20] = 3000
    near = judged(card, {}, {"Rectum": BROKEN["Rectum"]}, hu=hu)
    assert ("structure.metal-nearby", "Rectum") in levels(near)


def test_many_reasons_to_wait_are_told_as_one_and_counted():
    three = [Finding("a", f"Reason {n}.", None, Severity.HOLD) for n in (1, 1, 2, 3)]
    assert held_because(three) == (
        "Waits for a person to look at it: Reason 1. And 2 more: see the job's findings."
    )
