"""The look at a whole segmentation: each structure by its own model's card, all of them against one another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.cards.card import Card, StructureCard
from models.cards.statistics_card import CtStatistics, PlaceStatistics, Statistics, StructureStatistics
from models.second_look.look import Contoured, second_look
from models.volume import CtVolume, StructureField

SHAPE = (40, 60, 60)
USUAL = StructureStatistics(
    cases=10,
    volume_cm3=(10, 20),
    height_mm=(30, 40),
    pieces=(1, 1),
    cavities_cm3=(0, 0),
    gap_slices=(0, 0),
    end_shares=((0.9, 1), (0.9, 1)),
    mean_hu=(30, 50),
    std_hu=(0, 5),
)
CT = CtStatistics(10, (3, 3), (2, 2), (100, 130), (100, 140), ((40, 40),) * 5, (0, 5))


def card(name, places=None, **structures):
    return Card(
        name=name,
        version="1.0",
        kind="program",
        summary="",
        intended_use="",
        licence="",
        validated=True,
        validation="",
        structures=dict.fromkeys(structures, StructureCard("x", (0, 1e6))),
        folder=Path(),
        statistics=Statistics("ten boxes", CT, structures, places or {}),
    )


def box(corner, shape):
    return StructureField(np.ones(shape, np.float32), corner)


@pytest.fixture
def look(make_grid):
    """Look at fields on a body of 40 HU in air, wherever its structures are."""
    grid = make_grid(SHAPE, (3.0, 2.0, 2.0))
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 5:55, 2:58] = 40

    def look(fields, cards, only=None, ct=True, **changes):
        volume = CtVolume(hu, grid) if ct else None
        found = second_look(replace(Contoured(fields, grid, volume, cards), **changes), only)
        return {(each.code, each.structure) for each in found}

    return look


FIELD = box((5, 20, 20), (12, 10, 10))  # 14.4 cm3, 36 mm high


def test_what_is_as_in_training_is_not_told(look):
    assert look({"Bladder": FIELD}, {"Bladder": card("one", Bladder=USUAL)}) == set()


def test_each_structure_is_held_against_its_own_model(look):
    small = replace(USUAL, volume_cm3=(1, 2))
    fields = {"Bladder": FIELD, "Rectum": box((5, 40, 20), (12, 10, 10))}
    cards = {"Bladder": card("one", Bladder=USUAL), "Rectum": card("two", Rectum=small)}
    assert look(fields, cards) == {("structure.volume-beyond-training", "Rectum")}


def test_what_no_model_gave_is_held_against_nothing(look):
    fields = {"zAid": box((0, 0, 0), (40, 60, 60)), "Bladder": FIELD}
    assert look(fields, {"Bladder": card("one", Bladder=USUAL)}) == set()


def test_without_the_ct_its_numbers_are_not_looked_at(look):
    dense = card("one", Bladder=replace(USUAL, mean_hu=(300, 400)))
    assert look({"Bladder": FIELD}, {"Bladder": dense}) == {("structure.density-beyond-training", "Bladder")}
    assert look({"Bladder": FIELD}, {"Bladder": dense}, ct=False) == set()


def test_a_ct_unlike_that_of_one_model_is_told(look):
    other = card("one", Bladder=USUAL)
    other = replace(other, statistics=replace(other.statistics, ct=replace(CT, body_hu=((90, 95),) * 5)))
    assert look({"Bladder": FIELD}, {"Bladder": other}) == {("ct.numbers-unlike-training", None)}


def test_places_are_compared_within_one_model_alone(look):
    fields = {"Bladder": FIELD, "Rectum": box((5, 40, 20), (12, 10, 10))}  # 40 mm behind the bladder
    places = {"Bladder": {"Rectum": PlaceStatistics(10, (-1, 1), (20, 30), (-1, 1))}}
    together = card("one", places, Bladder=USUAL, Rectum=USUAL)
    apart = {"Bladder": together, "Rectum": card("two", Rectum=USUAL)}
    order = {("structure.order-wrong", "Bladder"), ("structure.order-wrong", "Rectum")}
    assert look(fields, dict.fromkeys(fields, together)) == order
    assert look(fields, apart) == set()


def test_what_leaves_the_field_of_view_may_be_small(look):
    large = {"Bladder": card("one", Bladder=replace(USUAL, volume_cm3=(100, 200), height_mm=(200, 300)))}
    both = {("structure.volume-beyond-training", "Bladder"), ("structure.height-beyond-training", "Bladder")}
    assert look({"Bladder": FIELD}, large) == both
    assert look({"Bladder": FIELD}, large, cut={"Bladder"}) == set()


def test_a_look_at_some_tells_of_these_alone_and_of_the_ct_not_again(look):
    odd = replace(USUAL, volume_cm3=(1, 2))
    fields = {
        "Bladder": FIELD,
        "zAid_L": box((5, 40, 2), (12, 10, 10)),
        "zAid_R": box((5, 40, 48), (12, 10, 10)),
    }
    cards = {"Bladder": card("one", Bladder=odd)}
    found = look(fields, cards, only=["zAid_L"])
    assert found == {("structure.wrong-side", "zAid_L")}
