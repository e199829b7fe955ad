import numpy as np
import pytest

from models.cards.card import Evidence, PostprocessCard, RegionCard, StructureCard
from models.cards.catalog import find_bundle
from models.plausibility import FieldOfView, Seen, center_lps_mm, check_region, check_sides, check_structure
from models.volume import CtVolume, OutsideTrainedRegion, Severity, StructureField

REGION = RegionCard(
    "pelvis",
    required=(Evidence(("Bone_L", "Bone_R"), 60, 100, 650),),
    supporting=(Evidence(("Sacrum",), 40, minimum_confidence=0.8), Evidence(("Heads",), 20)),
    whole=(Evidence(("Bone_L",), 180), Evidence(("Bone_R",), 180)),
)
WHOLE = {"Bone_L": Seen(300, 250), "Bone_R": Seen(310, 250), "Sacrum": Seen(200, 200)}


def field(corner, shape):
    return StructureField(np.ones(shape, np.float32), corner)


def test_a_whole_pelvis_has_no_findings():
    assert check_region(REGION, WHOLE) == ()


def test_half_a_pelvis_is_taken_with_a_warning():
    (finding,) = check_region(REGION, WHOLE | {"Bone_R": Seen(20, 250)})
    assert finding.code == "region.partial"
    assert "Bone_R" in finding.sentence
    assert "Bone_L" not in finding.sentence


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"Bone_L": Seen(59, 250), "Sacrum": Seen(200, 200)},
        {"Bone_L": Seen(300, 50), "Sacrum": Seen(200, 200)},
        {"Bone_L": Seen(300, 800), "Bone_R": Seen(300, 700), "Sacrum": Seen(200, 200)},
        {"Bone_L": Seen(300, 250), "Sacrum": Seen(39, 200), "Heads": Seen(19, 200)},
        {"Bone_L": Seen(300, 250), "Sacrum": Seen(200, 200, 0.7)},
    ],
    ids=[
        "nothing",
        "little bone",
        "no bone by density",
        "as dense as a skull",
        "nothing beside the bones",
        "a doubtful sacrum",
    ],
)
def test_without_enough_evidence_there_is_no_pelvis(seen):
    with pytest.raises(OutsideTrainedRegion, match="No pelvis was found") as refusal:
        check_region(REGION, seen)
    assert refusal.value.code == "region.no-pelvis"


def test_one_supporting_structure_is_enough():
    assert check_region(REGION, {**WHOLE, "Sacrum": Seen(0, 0), "Heads": Seen(20, 200)}) == ()


PLAIN = StructureCard("x", (1.0, 100.0))


def findings(card, of_field, grid, parts=(1.0,), circle=None):
    return check_structure("Bladder", card, of_field, grid, FieldOfView(circle), parts)


def codes(*arguments, **more):
    return [finding.code for finding in findings(*arguments, **more)]


def test_a_structure_within_everything_has_no_findings(make_grid):
    grid = make_grid((20, 40, 40), (5.0, 5.0, 5.0))
    assert codes(PLAIN, field((5, 5, 5), (4, 4, 4)), grid) == []


def test_a_missing_structure_is_a_warning_or_a_note(make_grid):
    grid = make_grid((4, 4, 4))
    (warning,) = findings(PLAIN, None, grid)
    (note,) = findings(StructureCard("x", (1, 2), may_be_absent=True), None, grid)
    assert (warning.severity, note.severity) == (Severity.WARNING, Severity.NOTE)
    assert warning.code == note.code == "structure.not-found"


@pytest.mark.parametrize("corner", [(0, 5, 5), (16, 5, 5)])
def test_reaching_the_first_or_last_slice_is_told_unless_it_is_natural(make_grid, corner):
    grid = make_grid((20, 40, 40), (5.0, 5.0, 5.0))
    assert codes(PLAIN, field(corner, (4, 4, 4)), grid) == ["structure.cut-by-field-of-view"]
    assert codes(StructureCard("x", (1, 100), reaches_out=True), field(corner, (4, 4, 4)), grid) == []


def test_reaching_the_border_of_the_image_is_always_told(make_grid):
    grid = make_grid((20, 40, 40), (5.0, 5.0, 5.0))
    natural = StructureCard("x", (1, 100), reaches_out=True)
    assert codes(natural, field((5, 5, 36), (4, 4, 4)), grid) == ["structure.cut-by-field-of-view"]


def test_a_negative_voxel_at_the_border_is_no_cut(make_grid):
    grid = make_grid((20, 40, 40), (5.0, 5.0, 5.0))
    edge = field((0, 0, 0), (4, 4, 4))
    edge.field[0] = edge.field[:, 0] = edge.field[:, :, 0] = -1
    assert codes(PLAIN, edge, grid) == []


def test_an_unusual_volume_is_told_with_what_is_usual(make_grid):
    grid = make_grid((20, 40, 40), (5.0, 5.0, 5.0))  # 0.125 cm3 a voxel
    (small,) = findings(PLAIN, field((5, 5, 5), (1, 1, 1)), grid)
    assert small.code == "structure.volume-unusual"
    assert "0.1 cm3; usual are 1 to 100 cm3" in small.sentence
    assert codes(PLAIN, field((5, 5, 5), (10, 10, 10)), grid) == ["structure.volume-unusual"]


def test_a_structure_that_is_cut_off_may_be_small(make_grid):
    grid = make_grid((20, 40, 40), (5.0, 5.0, 5.0))
    assert codes(PLAIN, field((0, 5, 5), (1, 1, 1)), grid) == ["structure.cut-by-field-of-view"]


def test_separate_parts_are_told_where_they_are_not_natural(make_grid):
    grid = make_grid((20, 40, 40), (5.0, 5.0, 5.0))
    inner = field((5, 5, 5), (4, 4, 4))
    assert codes(PLAIN, inner, grid, parts=(8.0, 2.5, 0.1)) == ["structure.several-parts"]
    assert codes(PLAIN, inner, grid, parts=(8.0, 1.5)) == []
    assert codes(PLAIN, inner, grid, parts=(80.0, 2.5)) == []
    assert codes(StructureCard("x", (1, 100), several_parts=True), inner, grid, parts=(8.0, 2.5)) == []
    keeps = StructureCard("x", (1, 100), postprocess=PostprocessCard(largest_component=True))
    assert "Only the largest is kept" in findings(keeps, inner, grid, parts=(8.0, 2.5))[0].sentence


def test_a_circular_field_of_view_is_recognised_by_its_padding(make_grid):
    grid = make_grid((3, 60, 60), (3.0, 2.0, 2.0))
    y, x = np.mgrid[:60, :60] - 29.5
    hu = np.random.default_rng(0).normal(-1000, 10, (3, 60, 60)).astype(np.int16)
    hu[:, np.hypot(x, y) > 30] = -2000
    found = FieldOfView.of(CtVolume(hu, grid))
    assert found.circle is not None
    assert found.is_left_by(field((1, 28, 56), (1, 2, 3)), grid)
    assert not found.is_left_by(field((1, 28, 50), (1, 2, 3)), grid)


def test_air_of_one_value_is_no_circle(make_grid):
    hu = np.full((3, 60, 60), -1000, np.int16)
    hu[:, 20:40, 20:40] = 0
    assert FieldOfView.of(CtVolume(hu, make_grid((3, 60, 60)))).circle is None


def test_the_centre_is_in_patient_millimetres(make_grid, every_orientation):
    straight = CtVolume(np.zeros((8, 12, 10), np.int16), make_grid((8, 12, 10), (3.0, 2.0, 2.0)))
    straight.hu[5:7, 2:5, 7] = 1
    for orientation in every_orientation:
        turned = orientation.of(straight)
        whole = StructureField(np.where(turned.hu > 0, 1, -1).astype(np.float32), (0, 0, 0))
        np.testing.assert_allclose(center_lps_mm(whole, turned.grid), [5.0, -5.0, 6.0], atol=1e-9)


@pytest.fixture
def sides(make_grid):
    """What is wrong with structures whose x in voxels, 0 right to 39 left, is given."""
    card = find_bundle("pelvis-ct@2.0")
    grid = make_grid((8, 40, 40), (5.0, 5.0, 5.0))

    def check(**columns):
        fields = {name: field((2, 20, column), (2, 2, 1)) for name, column in columns.items()}
        return {finding.structure for finding in check_sides(card, fields, grid)}

    return check


def test_left_on_the_left_is_right(sides):
    assert sides(Femur_Head_L=30, Femur_Head_R=8, Sacrum=20) == set()


def test_swapped_sides_are_both_named(sides):
    assert sides(Femur_Head_L=8, Femur_Head_R=30) == {"Femur_Head_L", "Femur_Head_R"}


def test_both_on_one_side_names_the_one_beyond_the_midline(sides):
    assert sides(Femur_Head_L=12, Femur_Head_R=8, Sacrum=20) == {"Femur_Head_L"}


def test_a_single_one_is_judged_by_the_midline_where_there_is_one(sides):
    assert sides(Femur_Head_L=8, Spine=20) == {"Femur_Head_L"}
    assert sides(Femur_Head_L=8) == set()
    assert sides(Femur_Head_L=18, Spine=20) == set()
