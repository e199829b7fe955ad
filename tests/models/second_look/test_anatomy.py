"""What patients may have holds no set by default, and what none has does: with the ranges of the shipped card.

Amounts are those of anatomy, rounded: a full bladder, a lean body, a hip prosthesis, thin slices.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.cards.catalog import find_bundle
from models.second_look.between import check_places
from models.second_look.codes import level_of
from models.second_look.measuring import CtLook, StructureLook
from models.second_look.one_structure import Seen, check_alone, usual_of
from models.second_look.whole_ct import check_geometry, check_numbers

CARD = find_bundle("pelvis-ct@2.0", ())
LOOK = StructureLook(
    volume_cm3=100,
    height_mm=70,
    pieces=1,
    cavities_cm3=0,
    gap_slices=0,
    end_shares=(0.1, 0.1),
    center_lps_mm=np.zeros(3),
    ends_cut=(False, False),
    mean_hu=20,
    std_hu=15,
    certainty=0.95,
)
CT = CtLook(
    slice_spacing_mm=3,
    pixel_mm=1.17,
    height_mm=300,
    body_diameter_mm=300,
    body_hu=(-115, -90, 20, 58, 220),
    noise_hu=15,
    edge_slices=0,
)


def seen(name: str, **changes) -> Seen:
    known = CARD.statistics.structures.get(name)
    return Seen(name, replace(LOOK, **changes), CARD.structures[name], usual_of(known))


def held(found) -> set[str]:
    return {each.code for each in found if level_of(each.code) == "hold"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("Bladder", {"volume_cm3": 50, "height_mm": 46}),
        ("Bladder", {"volume_cm3": 800, "height_mm": 145}),
        ("Bladder", {"volume_cm3": 1200, "height_mm": 180}),
        ("Bladder", {"mean_hu": 900.0}),  # contrast excreted into it
        ("Rectum", {"volume_cm3": 30, "height_mm": 100}),
        ("Rectum", {"volume_cm3": 200, "height_mm": 160, "mean_hu": -500.0}),  # full of gas
        ("Femur_Head_L", {"volume_cm3": 40, "height_mm": 45}),  # the head alone
        ("Femur_Head_L", {"volume_cm3": 90, "mean_hu": 2600.0, "pieces": 3, "cavities_cm3": 9}),  # prosthesis
        ("Femur_Head_L", {"ends_cut": (True, False), "volume_cm3": 20, "height_mm": 20}),  # CT ends in it
        ("Bowel_Small", {"gap_slices": 40, "pieces": 9}),  # two loops 40 mm apart on slices of 1 mm
        ("Colon", {"gap_slices": 90, "pieces": 5}),
        (
            "SpinalCanal",
            {"gap_slices": 30, "pieces": 3},
        ),  # the model often misses some of it: its card says so
        ("Sacrum", {"volume_cm3": 400, "height_mm": 190, "certainty": 0.7}),
    ],
)
def test_no_organ_that_a_patient_may_have_holds_the_set(name, changes):
    assert held(check_alone(seen(name, **changes))) == set()


@pytest.mark.parametrize("name", ["Bladder", "Rectum", "Femur_Head_R", "Bone_Pelvic_L", "Sacrum"])
def test_an_organ_of_one_piece_that_is_missing_on_slices_holds_it(name):
    assert held(check_alone(seen(name, gap_slices=1))) == {"structure.slices-missing"}


CENTERS_LPS_MM = {
    "Sacrum": (0, 0, 0),
    "Rectum": (0, -20, -90),
    "Bladder": (0, -65, -60),
    "Femur_Head_L": (103, -37, -95),
    "Femur_Head_R": (-103, -37, -95),
    "Bone_Pelvic_L": (72, -30, -30),
    "Bone_Pelvic_R": (-72, -30, -30),
}


def places(**moved) -> dict[str, str]:
    centers = CENTERS_LPS_MM | moved
    each = [seen(name, center_lps_mm=np.array(at, float)) for name, at in centers.items()]
    return {found.structure: found.code for found in check_places(each, CARD.statistics.places)}


def test_where_organs_lie_in_most_people_nothing_is_told():
    assert places() == {}


@pytest.mark.parametrize("up_mm", [10, 40])  # 800 ml above a neck 55 mm below the sacrum's middle, and more
def test_a_bladder_as_high_as_the_sacrum_is_told_and_holds_nothing(up_mm):
    assert places(Bladder=(0, -75, up_mm)) == {"Bladder": "structure.order-unusual"}


def test_a_bladder_behind_the_rectum_and_heads_above_the_hips_hold_the_set():
    assert places(Bladder=(0, 60, -60))["Bladder"] == "structure.order-wrong"
    assert places(Femur_Head_L=(103, -37, 60))["Femur_Head_L"] == "structure.order-wrong"


@pytest.mark.parametrize(
    "changes",
    [
        {"body_hu": (-80, 10, 45, 60, 240)},  # lean: a tenth of it is fat
        {"body_hu": (-130, -110, -98, -60, 90)},  # obese: two thirds are
        {"body_hu": (-115, -85, 25, 95, 350)},  # contrast
        {"body_hu": (-150, -95, 15, 60, 900)},  # two prostheses
        {"noise_hu": 80},  # slices of 1 mm, a sharp kernel
        {"slice_spacing_mm": 1, "pixel_mm": 0.8},
        {"slice_spacing_mm": 5, "pixel_mm": 1.37, "body_diameter_mm": 450},
        {"body_hu": (-135, -78, 5, 59, 285), "noise_hu": 12.6, "pixel_mm": 1.07},  # a real CT of a breast
        {"body_hu": (-114, -68, 21, 59, 412), "noise_hu": 14.7, "pixel_mm": 0.68},  # a real CT of a thorax
    ],
)
def test_no_ct_that_a_patient_may_have_holds_the_set(changes):
    ct, usual = replace(CT, **changes), CARD.statistics.ct
    assert held([*check_numbers(ct, usual, "m@1"), *check_geometry(ct, usual, "m@1")]) == set()


@pytest.mark.parametrize("shift_hu", [150, -150, 1024, -1024])
def test_numbers_that_are_shifted_as_a_whole_hold_it(shift_hu):
    shifted = replace(CT, body_hu=tuple(each + shift_hu for each in CT.body_hu))
    assert held(check_numbers(shifted, CARD.statistics.ct, "m@1")) == {"ct.numbers-wrong"}
