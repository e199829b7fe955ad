"""A candidate takes its model's place: what changes in the file, and that nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config.promotion import PromotionRefused, candidate_of, must_be_promoted, promoted
from service.config.reader import LoadedSite, parse

BEFORE = """\
# ours
protocols:
  other: {model: pelvis-ct@2.0, shadow: pelvis-ct@2.1}   # left alone
  body:
    label: Body      # before
    model: external@1.0   # the old one
    structures:
      External:
        color: "#00ff00"
    shadow: "external@10.25"  # since November
routes: []
"""
AFTER = """\
# ours
protocols:
  other: {model: pelvis-ct@2.0, shadow: pelvis-ct@2.1}   # left alone
  body:
    label: Body      # before
    model: "external@10.25"   # the old one
    structures:
      External:
        color: "#00ff00"
    shadow: external@1.0  # since November
routes: []
"""


def loaded(text: str) -> LoadedSite:
    return parse(text, Path("config.yaml"), check_bundles=False)


def test_two_texts_change_places_and_the_same_step_takes_it_back():
    assert promoted(BEFORE, "body") == AFTER
    assert promoted(AFTER, "body") == BEFORE
    must_be_promoted(loaded(BEFORE), loaded(AFTER), "body")


def test_a_section_on_one_line_too():
    line = "other: {model: pelvis-ct@2.1, shadow: pelvis-ct@2.0}   # left alone"
    assert line in promoted(BEFORE, "other")


def test_the_order_of_the_two_does_not_matter_and_a_mark_at_the_beginning_stays():
    text = "\ufeffprotocols: {a: {shadow: x@2.0, model: x@1.0}}\nroutes: []\n"
    assert promoted(text, "a") == "\ufeffprotocols: {a: {shadow: x@1.0, model: x@2.0}}\nroutes: []\n"


def test_what_is_written_once_for_two_protocols_is_left_to_a_person():
    text = "protocols:\n  a: &both {model: x@1.0, shadow: x@2.0}\n  b: *both\nroutes: []\n"
    with pytest.raises(PromotionRefused) as refused:
        must_be_promoted(loaded(text), loaded(promoted(text, "a")), "a")
    assert refused.value.code == "promotion.by-hand"


@pytest.mark.parametrize(
    ("protocol", "code"), [("bodi", "promotion.no-protocol"), ("plain", "promotion.no-candidate")]
)
def test_a_protocol_must_have_a_candidate(protocol, code):
    text = BEFORE.replace("routes: []", "  plain: {model: external@1.0}\nroutes: []")
    with pytest.raises(PromotionRefused) as refused:
        candidate_of(loaded(text), protocol)
    assert refused.value.code == code
