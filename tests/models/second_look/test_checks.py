"""Each check against ranges that are written down here: within, at the edge of what is allowed, beyond."""

from dataclasses import replace

import numpy as np
import pytest

from models.cards.card import StructureCard
from models.cards.statistics_card import CtStatistics, PlaceStatistics, StructureStatistics
from models.second_look.between import (
    check_external,
    check_metal,
    check_overlap,
    check_places,
    check_sides,
)
from models.second_look.codes import FIXED, GROUPS, KINDS, level_of
from models.second_look.measuring import CtLook, StructureLook
from models.second_look.noticed import widened, widened_by_factor
from models.second_look.one_structure import Seen, check_alone, usual_of
from models.second_look.whole_ct import check_edges, check_geometry, check_numbers
from models.volume import StructureField

USUAL = StructureStatistics(
    cases=20,
    volume_cm3=(100, 400),
    height_mm=(40, 80),
    pieces=(1, 1),
    cavities_cm3=(0, 0.2),
    gap_slices=(0, 0),
    end_shares=((0.05, 0.25), (0.05, 0.3)),
    mean_hu=(0, 40),
    std_hu=(10, 20),
    certainty=(0.92, 0.98),
)
LOOK = StructureLook(
    volume_cm3=200,
    height_mm=60,
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
CARD = StructureCard("x", (1.0, 1e6))


def codes(usual=USUAL, card=CARD, cut=False, **changes):
    return [each.code for each in check_alone(Seen("Bladder", replace(LOOK, **changes), card, usual, cut))]


def test_what_is_usual_is_not_told():
    assert codes() == []


def test_ranges_are_widened_by_a_quarter_of_their_span_and_at_least_by_so_much():
    assert widened((0, 40), 5) == (-10, 50)
    assert widened((0, 4), 5) == (-5, 9)
    low, high = widened_by_factor((100, 1600), 1.2)  # 16 ** .25 = 2
    assert (low, high) == pytest.approx((100 / 2.4, 1600 * 2.4))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"volume_cm3": 400 * 1.2 * 4**0.25 + 1}, "structure.volume-beyond-training"),
        ({"volume_cm3": 100 / 1.2 / 4**0.25 - 1}, "structure.volume-beyond-training"),
        ({"height_mm": 91}, "structure.height-beyond-training"),
        ({"height_mm": 29}, "structure.height-beyond-training"),
        ({"pieces": 2}, "structure.pieces-beyond-training"),
        ({"cavities_cm3": 1.3}, "structure.cavities"),
        ({"gap_slices": 1}, "structure.slices-missing"),
        ({"end_shares": (0.41, 0.1)}, "structure.ends-abruptly"),
        ({"end_shares": (0.1, 0.46)}, "structure.ends-abruptly"),
        ({"mean_hu": 66.0}, "structure.density-beyond-training"),
        ({"mean_hu": -26.0}, "structure.density-beyond-training"),
        ({"certainty": 0.88}, "structure.uncertain"),
    ],
)
def test_what_no_training_case_showed_is_told_by_its_own_code(changes, code):
    assert codes(**changes) == [code]
    (noticed,) = check_alone(Seen("Bladder", replace(LOOK, **changes), CARD, USUAL))
    assert noticed.structure == "Bladder"
    assert "Bladder" in noticed.sentence
    assert noticed.amounts


@pytest.mark.parametrize(
    "changes",
    [
        {"volume_cm3": 400 * 1.2 * 4**0.25 - 1},
        {"height_mm": 89},
        {"height_mm": 31},
        {"cavities_cm3": 1.1},
        {"end_shares": (0.39, 0.44)},
        {"mean_hu": 64.0},
        {"certainty": 0.9},
    ],
)
def test_a_little_beyond_is_not_told(changes):
    assert codes(**changes) == []


def test_what_is_cut_off_may_be_small_and_end_abruptly_there():
    small = {"volume_cm3": 10, "height_mm": 5, "end_shares": (1, 0.1)}
    assert codes(**small, ends_cut=(True, False)) == []
    assert codes(volume_cm3=10, height_mm=5, cut=True) == []
    assert codes(**small) == [
        "structure.volume-beyond-training",
        "structure.height-beyond-training",
        "structure.ends-abruptly",
    ]


def test_what_runs_on_beyond_the_ct_may_end_anywhere():
    assert codes(card=replace(CARD, reaches_out=True), height_mm=500, end_shares=(1, 1)) == []


def test_without_data_only_gaps_are_told_and_not_of_what_comes_in_parts():
    odd = {"volume_cm3": 1e5, "height_mm": 900, "pieces": 9, "mean_hu": 900.0, "certainty": 0.1}
    assert codes(usual=None, **odd) == []
    assert codes(usual=None, gap_slices=1) == ["structure.slices-missing"]
    assert codes(usual=None, gap_slices=1, card=replace(CARD, several_parts=True)) == []
    assert codes(usual=None, gap_slices=1, card=None) == []
    assert codes(gap_slices=1, usual=replace(USUAL, gap_slices=(0, 2))) == []
    assert codes(gap_slices=3, usual=replace(USUAL, gap_slices=(0, 2))) == ["structure.gap-beyond-training"]
    in_parts = replace(CARD, several_parts=True)
    assert codes(gap_slices=1, card=in_parts) == ["structure.gap-beyond-training"]
    assert codes(gap_slices=1, cut=True) == []


def test_a_range_of_few_cases_is_not_asked():
    assert usual_of(USUAL) is USUAL
    assert usual_of(replace(USUAL, cases=7)) is None
    assert usual_of(None) is None


def seen(**centers):
    return [
        Seen(name, replace(LOOK, center_lps_mm=np.array(at, float)), CARD) for name, at in centers.items()
    ]


def test_sides_are_told_from_one_another_and_from_the_midline():
    right = {"Femur_Head_L": (90, 0, 0), "Femur_Head_R": (-90, 0, 0), "Sacrum": (2, 60, 40)}
    assert list(check_sides(seen(**right))) == []
    swapped = {"Femur_Head_L": (-90, 0, 0), "Femur_Head_R": (90, 0, 0)}
    assert [each.structure for each in check_sides(seen(**swapped))] == ["Femur_Head_L", "Femur_Head_R"]
    alone = {"Kidney_L": (-21, 0, 0), "Sacrum": (0, 60, 0)}
    (noticed,) = check_sides(seen(**alone))
    assert noticed.code == "structure.wrong-side"
    assert list(check_sides(seen(Kidney_L=(-19, 0, 0), Sacrum=(0, 0, 0)))) == []
    assert list(check_sides(seen(Kidney_L=(-500, 0, 0)))) == []  # nothing tells where the middle is


PLACES = {  # the bladder in front of the rectum and below the sacrum; the rectum in front of and below it
    "Bladder": {
        "Rectum": PlaceStatistics(20, (-10, 10), (-60, -30), (-10, 30)),
        "Sacrum": PlaceStatistics(20, (-10, 10), (-100, -60), (-90, -50)),
    },
    "Rectum": {"Sacrum": PlaceStatistics(20, (-10, 10), (-40, -20), (-80, -50))},
}
USUALLY = {"Bladder": (0, -80, -70), "Rectum": (0, -35, -75), "Sacrum": (0, 0, 0)}


def places(**changed):
    found = check_places(seen(**(USUALLY | changed)), PLACES)
    return {each.structure: each.code for each in found}


def test_where_structures_usually_lie_nothing_is_told():
    assert places() == {}


def test_the_one_that_moved_is_told_and_not_those_it_moved_away_from():
    assert places(Bladder=(40, -80, -70)) == {"Bladder": "structure.place-beyond-training"}


def test_the_wrong_order_is_told_before_a_wrong_distance():
    assert places(Bladder=(0, 10, -70)) == {"Bladder": "structure.order-wrong"}


def test_an_order_that_a_full_bladder_changes_holds_nothing():
    assert places(Bladder=(0, -80, 5)) == {"Bladder": "structure.order-unusual"}
    assert (level_of("structure.order-unusual"), level_of("structure.order-wrong")) == ("note", "hold")


def test_of_two_that_changed_places_both_are_told():
    found = places(Bladder=USUALLY["Rectum"], Rectum=USUALLY["Bladder"])
    assert found == {"Bladder": "structure.order-wrong", "Rectum": "structure.order-wrong"}


def test_what_is_cut_off_has_no_centre_to_compare():
    cut = [
        replace(each, look=replace(each.look, ends_cut=(True, False))) if each.name == "Bladder" else each
        for each in seen(**(USUALLY | {"Bladder": (40, 10, -70)}))
    ]
    assert list(check_places(cut, PLACES)) == []


def field(corner, shape):
    return StructureField(np.ones(shape, np.float32), corner)


def test_organs_that_share_voxels_are_told_by_the_smaller(make_grid):
    grid = make_grid((40, 60, 60), (3.0, 2.0, 2.0))
    fields = {"Rectum": field((5, 5, 5), (20, 20, 20)), "Bladder": field((5, 20, 5), (10, 20, 20))}
    (noticed,) = check_overlap(fields, list(fields), grid)
    assert (noticed.code, noticed.structure) == ("structure.overlap", "Bladder")
    assert noticed.amounts["shared_cm3"] == pytest.approx(10 * 5 * 20 * 12 / 1000)
    border, none = ["structure.overlap-at-border"], []
    for row, told in ((21, border), (23, border), (24, none), (25, none)):  # 20, 10, 5 and 0 % of the smaller
        others = fields | {"Bladder": field((5, row, 5), (10, 20, 20))}
        assert [each.code for each in check_overlap(others, list(others), grid)] == told
        with_bone = {"Sacrum": others["Bladder"], "Rectum": fields["Rectum"]}
        found = [each.code for each in check_overlap(with_bone, list(with_bone), grid)]
        assert found == (["structure.overlap"] if row == 21 else told)  # bone has a sharp border
    other = {"Rectum": fields["Rectum"], "PTV": fields["Bladder"]}
    assert list(check_overlap(other, list(other), grid)) == []


def test_what_lies_outside_of_the_body_is_told(make_grid):
    grid = make_grid((40, 60, 60), (3.0, 2.0, 2.0))
    external = field((0, 10, 10), (40, 40, 40))
    fields = {"Rectum": field((5, 5, 20), (10, 20, 20)), "Bladder": field((5, 20, 20), (5, 5, 5))}
    (noticed,) = check_external(fields | {"External": external}, [*fields, "External"], external, grid)
    assert (noticed.code, noticed.structure) == ("structure.outside-external", "Rectum")
    assert noticed.amounts["outside_cm3"] == pytest.approx(10 * 5 * 20 * 12 / 1000)
    (margin,) = check_external(fields, [*fields], external, grid, derived={"Rectum"})
    assert level_of(margin.code) == "note"


def test_metal_is_told_by_its_distance():
    surface = {"Near": np.array([[0.0, 0, 0], [10, 0, 0]]), "Far": np.array([[0.0, 100, 0]])}
    metal = np.array([[25.0, 0, 0]])
    (noticed,) = check_metal(surface, metal, 2.0)
    assert noticed.structure == "Near"
    assert noticed.amounts["away_mm"] == 15
    assert list(check_metal(surface, metal, 0.2)) == []
    assert list(check_metal(surface, np.zeros((0, 3)), 0.0)) == []


CT = CtStatistics(
    cases=20,
    slice_spacing_mm=(2, 5),
    pixel_mm=(0.8, 2),
    height_mm=(200, 400),
    body_diameter_mm=(260, 340),
    body_hu=((-130, -90), (-100, -60), (-20, 50), (50, 70), (150, 300)),
    noise_hu=(5, 25),
)
CT_LOOK = CtLook(
    slice_spacing_mm=3,
    pixel_mm=1,
    height_mm=300,
    body_diameter_mm=300,
    body_hu=(-110, -80, 10, 60, 200),
    noise_hu=10,
    edge_slices=0,
)


def test_a_ct_like_those_of_training_is_not_told():
    assert list(check_numbers(CT_LOOK, CT, "m@1")) == []
    assert list(check_geometry(CT_LOOK, CT, "m@1")) == []
    assert list(check_edges(CT_LOOK)) == []


@pytest.mark.parametrize(
    ("body_hu", "code"),
    [
        ((-110, -80, 110, 149, 300), "ct.numbers-unlike-training"),
        ((-190, -80, 10, 60, 200), "ct.numbers-unlike-training"),
        ((-90, 10, 45, 60, 200), "ct.numbers-unlike-training"),  # lean: little fat
        ((-120, -105, -95, -70, 90), "ct.numbers-unlike-training"),  # obese: little else
        ((-110, -80, 110, 151, 300), "ct.numbers-wrong"),  # 70 + 80: no muscle is so dense
        ((-240, -181, -90, -40, 50), "ct.numbers-wrong"),  # -100 - 80: no fat is so light
    ],
)
def test_other_ct_numbers_are_told_once(body_hu, code):
    (noticed,) = check_numbers(replace(CT_LOOK, body_hu=body_hu), CT, "m@1")
    assert noticed.code == code
    assert level_of(code) == ("hold" if code == "ct.numbers-wrong" else "note")


def test_noise_is_told():
    (noticed,) = check_numbers(replace(CT_LOOK, noise_hu=34), CT, "m@1")
    assert "noisier" in noticed.sentence
    assert list(check_numbers(replace(CT_LOOK, noise_hu=32), CT, "m@1")) == []


@pytest.mark.parametrize("changes", [{"slice_spacing_mm": 1}, {"slice_spacing_mm": 5}, {"pixel_mm": 0.6}])
def test_everyday_slices_and_pixels_are_not_told_whatever_was_learned_from(changes):
    coarse = replace(CT, slice_spacing_mm=(3, 3), pixel_mm=(2.5, 2.5))
    assert list(check_geometry(replace(CT_LOOK, **changes), coarse, "m@1")) == []


@pytest.mark.parametrize("changes", [{"slice_spacing_mm": 6}, {"pixel_mm": 3.3}, {"body_diameter_mm": 190}])
def test_another_geometry_is_told(changes):
    (noticed,) = check_geometry(replace(CT_LOOK, **changes), CT, "m@1")
    assert noticed.code == "ct.geometry-unlike-training"


def test_few_cases_tell_nothing_of_a_ct():
    few = replace(CT, cases=7)
    odd = replace(CT_LOOK, noise_hu=900, pixel_mm=9)
    assert list(check_numbers(odd, few, "m@1")) == list(check_geometry(odd, few, "m@1")) == []


def test_a_body_that_leaves_the_image_is_told():
    (noticed,) = check_edges(replace(CT_LOOK, edge_slices=0.2))
    assert noticed.code == "ct.body-cut"
    assert "20 %" in noticed.sentence


def test_levels_are_by_code_then_by_group_and_the_structure_before_the_protocol():
    assert level_of("structure.slices-missing") == "hold"
    assert level_of("structure.slices-missing", {}, {"gaps": "note"}) == "note"
    assert (
        level_of("structure.slices-missing", {"gaps": "stop"}, {"structure.slices-missing": "note"}) == "stop"
    )
    assert (
        level_of("structure.slices-missing", {"gaps": "stop", "structure.slices-missing": "note"}) == "note"
    )
    assert level_of("structure.uncertain", {"certainty": "ignore"}) == "ignore"
    assert level_of("model.gives") is None


def test_the_wrong_side_stops_whatever_a_site_says():
    assert level_of("structure.wrong-side", {"structure.wrong-side": "note", "side": "ignore"}) == "stop"
    assert {"structure.wrong-side", "structure.side-unknown", "side"} == FIXED


def test_no_group_is_called_as_a_code_is():
    assert not set(GROUPS) & set(KINDS)
