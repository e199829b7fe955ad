import numpy as np
import pytest
from small_cases import SHAPE, block, case_of, data_of, grid_of, numbered, recipe_for

from models.data_sets.data_set import DataSetInvalid
from models.training.samples.prepared_cases import PreparedCases
from models.volume import Grid


def prepared(tmp_path, cases, recipe, folder="prepared"):
    return PreparedCases(data_of(tmp_path / "data", cases), recipe, tmp_path / folder)


def test_on_its_own_grid_a_case_keeps_every_bit(tmp_path):
    bladder, rectum = block((1, 4), (3, 9), (4, 10)), block((2, 6), (8, 12), (5, 9))  # they overlap
    cases = prepared(
        tmp_path,
        [case_of(1, {"Rectum": rectum, "Bladder": bladder})],
        recipe_for(["Bladder", "Rectum"], (1, 8, 8)),
    )
    case = cases.get("p0001-1")
    assert cases.structures == ("Bladder", "Rectum")
    np.testing.assert_array_equal(case.hu(), numbered())
    np.testing.assert_array_equal(case.mask(0), bladder)
    np.testing.assert_array_equal(case.mask(1), rectum)
    assert case.spacing_zyx_mm == (3, 2, 2)
    assert case.box == tuple(slice(0, n) for n in SHAPE)


def test_axes_run_to_head_posterior_and_left_however_the_ct_lies(tmp_path):
    """Columns run to the right and slices to the feet here."""
    straight = grid_of(SHAPE)
    origins = straight.slice_origins_lps_mm[::-1] + np.array([46.0, 0, 0])
    turned = Grid(origins, -straight.column_step_lps_mm, straight.row_step_lps_mm, 20, 24)
    bladder = block((1, 3), (3, 9), (4, 10))
    flip = (slice(None, None, -1), slice(None), slice(None, None, -1))
    case = case_of(1, {"Bladder": bladder[flip].copy()}, numbered()[flip].copy(), turned)
    found = prepared(tmp_path, [case], recipe_for(["Bladder"], (1, 8, 8))).get("p0001-1")
    np.testing.assert_array_equal(found.hu(), numbered())
    np.testing.assert_array_equal(found.mask(0), bladder)


def test_on_a_coarser_grid_a_voxel_is_of_what_fills_more_than_half_of_it(tmp_path):
    bladder = np.zeros((1, 2, 4), bool)
    bladder[0, :, 0], bladder[0, 0, 1], bladder[0, :, 2] = True, True, True  # three of four, two of four
    hu = np.array([[[0, 1, 10, 10], [1, 1, 10, 11]]], np.int16)
    recipe = recipe_for(["Bladder"], (1, 1, 2), input={"spacing_zyx_mm": [3, 4, 4]})
    found = prepared(tmp_path, [case_of(1, {"Bladder": bladder}, hu)], recipe).get("p0001-1")
    assert found.mask(0).tolist() == [[[True, False]]]
    assert found.hu().tolist() == [[[1, 10]]]  # 0.75 and 10.25, rounded


def test_unknown_is_not_absent(tmp_path):
    recipe = recipe_for(["Bladder", "Rectum", "Uterus"], (1, 8, 8))
    masks = {"Bladder": block((1, 2), (3, 9), (4, 10)), "Uterus": np.zeros(SHAPE, bool)}
    cases = [case_of(1, masks), case_of(2, {"Rectum": block((1, 2), (3, 9), (4, 10))})]
    found = prepared(tmp_path, cases, recipe).get("p0001-1")
    assert found.known.tolist() == [True, False, True]
    assert [len(places) for places in found.places] == [36, 0, 0]
    assert found.in_slice.sum(axis=1).tolist() == [1, 0, 0]


def test_two_sides_learned_as_one_are_joined_and_known_only_together(tmp_path):
    left, right = block((1, 2), (3, 6), (14, 18)), block((1, 2), (3, 6), (4, 8))
    both = {"Femur_Head_L": left, "Femur_Head_R": right}
    recipe = recipe_for(
        ["Femur_Head_L", "Femur_Head_R"],
        (1, 8, 8),
        left_right={"Femur_Heads": ["Femur_Head_L", "Femur_Head_R"]},
    )
    cases = prepared(tmp_path, [case_of(1, both), case_of(2, {"Femur_Head_L": left})], recipe)
    assert cases.structures == ("Femur_Heads",)
    np.testing.assert_array_equal(cases.get("p0001-1").mask(0), left | right)
    assert cases.get("p0001-1").known.tolist() == [True]
    assert cases.get("p0002-1").known.tolist() == [False]
    assert not cases.get("p0002-1").mask(0).any()


@pytest.mark.parametrize("count", [7, 8, 40])
def test_there_is_a_bit_for_every_structure(tmp_path, count):
    names = [f"S{s:02}" for s in range(count)]
    masks = {name: block((s % 6, s % 6 + 1), (s % 20, 20), (s % 24, 24)) for s, name in enumerate(names)}
    found = prepared(tmp_path, [case_of(1, masks)], recipe_for(names, (1, 8, 8))).get("p0001-1")
    for s, name in enumerate(names):
        np.testing.assert_array_equal(found.mask(s), masks[name])


def test_where_structures_are_is_told_within_the_box_alone(tmp_path):
    """A body of 10 x 12 voxels off the middle of a plane of 40 x 40; the crop is 8 x 8 about its centre."""
    hu = np.full((4, 40, 40), -1000, np.int16)
    hu[:, 24:34, 20:32] = 50
    bladder = block((1, 3), (26, 34), (22, 32), shape_zyx=hu.shape)
    recipe = recipe_for(["Bladder"], (1, 8, 8), input={"crop": {"size_yx": [8, 8], "centre": "body"}})
    found = prepared(tmp_path, [case_of(1, {"Bladder": bladder}, hu)], recipe).get("p0001-1")
    assert found.box == (slice(0, 4), slice(25, 33), slice(22, 30))
    np.testing.assert_array_equal(found.mask(0), bladder)  # masks and CT stay whole
    assert {tuple(place) for place in found.places[0].tolist()} == {
        (z, y, x) for z in (1, 2) for y in range(26, 33) for x in range(22, 30)
    }
    assert found.in_slice.tolist() == [[False, True, True, False]]
    assert found.histogram[50 + 1024] == found.histogram.sum() == 4 * 8 * 8


def test_of_a_large_structure_some_voxels_are_kept_from_its_whole_extent(tmp_path):
    shape = (10, 40, 40)
    hu = np.zeros(shape, np.int16)
    found = prepared(
        tmp_path, [case_of(1, {"Bladder": np.ones(shape, bool)}, hu)], recipe_for(["Bladder"], (1, 8, 8))
    ).get("p0001-1")
    assert found.places[0].shape == (4096, 3)
    assert found.places[0].min(axis=0).tolist() == [0, 0, 0]
    assert found.places[0].max(axis=0).tolist() == [9, 39, 39]


def test_a_case_is_prepared_once_and_anew_for_another_recipe(tmp_path):
    masks = {"Bladder": block((1, 2), (3, 9), (4, 10)), "Rectum": block((1, 2), (9, 12), (4, 10))}
    data = data_of(tmp_path / "data", [case_of(1, masks)])
    recipe = recipe_for(["Bladder", "Rectum"], (1, 8, 8))
    first = PreparedCases(data, recipe, tmp_path / "prepared").get("p0001-1")
    (data.folder / "cases" / "p0001-1.npz").unlink()
    again = PreparedCases(data, recipe, tmp_path / "prepared").get("p0001-1")
    assert again.folder == first.folder
    np.testing.assert_array_equal(again.mask(1), masks["Rectum"])
    others = (
        recipe_for(["Rectum", "Bladder"], (1, 8, 8)),
        recipe_for(["Bladder", "Rectum"], (1, 8, 8), input={"spacing_zyx_mm": [3, 3, 3]}),
        recipe_for(["Bladder", "Rectum"], (1, 8, 8), input={"crop": {"size_yx": [8, 8], "centre": "body"}}),
    )
    for other in others:
        with pytest.raises(DataSetInvalid) as refused:
            PreparedCases(data, other, tmp_path / "prepared").get("p0001-1")
        assert refused.value.code == "data.case-missing"


def test_what_an_interrupted_run_left_behind_is_not_taken_for_a_case(tmp_path):
    recipe = recipe_for(["Bladder"], (1, 8, 8))
    data = data_of(tmp_path / "data", [case_of(1, {"Bladder": block((1, 2), (3, 9), (4, 10))})])
    whole = PreparedCases(data, recipe, tmp_path / "one").get("p0001-1").folder
    half = tmp_path / "two" / f"{whole.name}.123.part"
    half.mkdir(parents=True)
    (half / "hu.npy").write_bytes(b"half")
    np.testing.assert_array_equal(
        PreparedCases(data, recipe, tmp_path / "two").get("p0001-1").hu(), numbered()
    )


def test_a_ct_that_the_network_cannot_look_at_is_refused_by_its_name(tmp_path):
    air = np.full(SHAPE, -1000, np.int16)
    steep = grid_of(SHAPE)
    sine = np.sin(np.radians(40))
    tilted = Grid(
        np.arange(6)[:, None] * np.array([0.0, -sine, np.cos(np.radians(40))]) * 3,
        steep.column_step_lps_mm,
        np.array([0.0, np.cos(np.radians(40)), sine]) * 2,
        20,
        24,
    )
    masks = {"Bladder": np.zeros(SHAPE, bool)}
    cases = prepared(
        tmp_path,
        [case_of(1, masks, air), case_of(2, masks, grid=tilted)],
        recipe_for(["Bladder"], (1, 8, 8)),
    )
    for name, says in (("p0001-1", "nothing denser than air"), ("p0002-1", "degrees off")):
        with pytest.raises(DataSetInvalid, match=f"Case {name} cannot be used: .*{says}.*") as refused:
            cases.get(name)
        assert refused.value.code == "data.case-not-for-network"


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "prepared").write_text("a file")
    cases = prepared(
        tmp_path, [case_of(1, {"Bladder": np.zeros(SHAPE, bool)})], recipe_for(["Bladder"], (1, 8, 8))
    )
    with pytest.raises(DataSetInvalid) as refused:
        cases.get("p0001-1")
    assert refused.value.code == "prepared.unwritable"


def test_a_structure_that_no_training_case_could_teach_is_refused_by_its_name(tmp_path):
    """One in which a pair learned as one is never complete is not taught either."""
    one_side = {"Bladder": np.zeros(SHAPE, bool), "Femur_Head_L": np.zeros(SHAPE, bool)}
    other_side = {"Bladder": np.zeros(SHAPE, bool), "Femur_Head_R": np.zeros(SHAPE, bool)}
    recipe = recipe_for(
        ["Bladder", "Rectum", "Femur_Head_L", "Femur_Head_R"],
        (1, 8, 8),
        left_right={"Femur_Heads": ["Femur_Head_L", "Femur_Head_R"]},
    )
    with pytest.raises(DataSetInvalid, match=r"looking for Rectum, Femur_Heads\. Take it out") as refused:
        prepared(tmp_path, [case_of(1, one_side), case_of(2, other_side)], recipe)
    assert refused.value.code == "data.structure-never-drawn"


def test_more_structures_than_bits_are_refused(tmp_path):
    with pytest.raises(DataSetInvalid, match="At most 63"):
        prepared(tmp_path, [case_of(1, {})], recipe_for([f"S{s}" for s in range(64)], (1, 8, 8)))
