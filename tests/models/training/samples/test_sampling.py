from collections import Counter

import numpy as np
import pytest
import torch
from small_cases import SHAPE, block, case_of, data_of, numbered, recipe_for

from models.cards.input_card import Channel
from models.data_sets.data_set import DataSetInvalid
from models.preprocess import padded
from models.sliding_window import network_input
from models.training.samples.prepared_cases import PreparedCases
from models.training.samples.sampling import PatchSource

PLAIN = (Channel((-1024, 3071), 0.0, 1.0),)
BLADDER = block((1, 4), (3, 9), (4, 10))
TURNING = [
    {"name": "rotation", "arguments": {"radians_zyx": [0.3, 0.1, 0.1]}},
    {"name": "scale", "arguments": {"factor": [0.8, 1.2]}},
    {"name": "affine", "arguments": {"points_mm": 3}},
    {"name": "elastic", "arguments": {"smooth_mm": 8, "displacement_mm": 2}},
    {"name": "flip"},
    {"name": "noise", "arguments": {"hu": [1, 20]}},
    {"name": "colour"},
]


def source_of(tmp_path, cases, recipe, **keywords):
    folder = tmp_path / f"data-{len(list(tmp_path.iterdir()))}"
    prepared = PreparedCases(data_of(folder, cases), recipe, tmp_path / "prepared")
    keywords = {"seed": 5, "names": [case.name for case in cases]} | keywords
    return PatchSource(prepared, keywords.pop("names"), recipe, keywords.pop("channels", PLAIN), **keywords)


def slices_of(batch):
    """Which slice of the numbered CT each sample is of, by its first voxel."""
    return [int(x[0, 0, 0]) // (SHAPE[1] * SHAPE[2]) for x in batch.x]


def starts_of(batch):
    """First voxel of each sample's patch of the numbered CT."""
    return [np.unravel_index(int(x.flatten()[0]), SHAPE) for x in batch.x]


def test_an_epoch_of_slices_is_each_slice_once_in_an_order_of_its_own(tmp_path):
    cases = [case_of(1, {"Bladder": BLADDER}), case_of(2, {"Bladder": BLADDER}, numbered() + 100)]
    source = source_of(tmp_path, cases, recipe_for(["Bladder"], (1, 20, 24), batch=4))
    assert source.epoch_batches == 3
    epochs = []
    for epoch in range(2):
        batches = [source.batch(3 * epoch + step) for step in range(3)]
        epochs.append([int(x[0, 0, 0]) for batch in batches for x in batch.x])
    first_voxels = [480 * z + more for z in range(6) for more in (0, 100)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == first_voxels
    assert epochs[0] != epochs[1]


def test_a_mask_lies_on_its_image(tmp_path):
    rectum = block((2, 6), (8, 12), (5, 9))
    recipe = recipe_for(["Bladder", "Rectum"], (3, 7, 8), batch=6)
    source = source_of(tmp_path, [case_of(1, {"Bladder": BLADDER, "Rectum": rectum})], recipe)
    batch = source.batch(0)
    assert batch.x.shape == (6, 1, 3, 7, 8)
    voxels = batch.x[:, 0].long()
    for s, mask in enumerate((BLADDER, rectum)):
        assert torch.equal(batch.target.masks[:, s], torch.from_numpy(mask).flatten()[voxels])
    assert batch.target.known.all()
    assert len({tuple(start) for start in starts_of(batch)}) > 1


def test_patches_lie_anywhere_in_the_ct_and_never_outside(tmp_path):
    recipe = recipe_for(["Bladder"], (3, 16, 20), batch=60)
    starts = starts_of(source_of(tmp_path, [case_of(1, {"Bladder": BLADDER})], recipe).batch(0))
    for axis, most in enumerate((3, 4, 4)):
        assert {int(start[axis]) for start in starts} == set(range(most + 1))


@pytest.mark.parametrize("patch", [(3, 5, 5), (1, 5, 5)])
def test_around_structures_the_middle_is_one_and_each_is_as_likely(tmp_path, patch):
    large, single = block((2, 4), (4, 10), (4, 12)), block((3, 4), (14, 15), (18, 19))
    recipe = recipe_for(
        ["Bladder", "Rectum", "Uterus"], patch, batch=200, sampling={"around_structures": 1.0}
    )
    masks = {"Bladder": large, "Rectum": single, "Uterus": np.zeros(SHAPE, bool)}
    batch = source_of(tmp_path, [case_of(1, masks)], recipe).batch(0)
    middle = (slice(None), slice(None), *(n // 2 for n in patch[1 if patch[0] == 1 else 0 :]))
    which = batch.target.masks[middle]
    assert which.any(dim=1).all()
    assert 70 < int(which[:, 0].sum()) < 130
    assert 70 < int(which[:, 1].sum()) < 130


def test_near_the_border_a_patch_is_pushed_inwards(tmp_path):
    recipe = recipe_for(["Bladder"], (3, 8, 8), batch=3, sampling={"around_structures": 1.0})
    corner = block((5, 6), (19, 20), (23, 24))
    found = starts_of(source_of(tmp_path, [case_of(1, {"Bladder": corner})], recipe).batch(0))
    assert {tuple(int(i) for i in start) for start in found} == {(3, 12, 16)}


def test_slices_without_structures_are_kept_in_the_share_that_the_recipe_says(tmp_path):
    masks = {"Bladder": block((2, 4), (3, 9), (4, 10)), "Rectum": np.zeros(SHAPE, bool)}
    seen = {}
    for share in (0.0, 0.5, 1.0):
        recipe = recipe_for(["Bladder", "Rectum"], (1, 20, 24), batch=1, sampling={"slices_without": share})
        source = source_of(tmp_path, [case_of(1, masks)], recipe)
        count = source.epoch_batches
        seen[share] = [
            Counter(slices_of(source.batch(count * epoch + step))[0] for step in range(count))
            for epoch in range(8)
        ]
    assert all(epoch == Counter([2, 3]) for epoch in seen[0.0])
    assert all(len(epoch) == 4 and {2, 3} < set(epoch) for epoch in seen[0.5])
    assert set().union(*seen[0.5]) == set(range(6))  # which of them are kept changes from epoch to epoch
    assert all(epoch == Counter(range(6)) for epoch in seen[1.0])


def test_the_recipe_may_say_what_an_epoch_is(tmp_path):
    recipe = recipe_for(["Bladder"], (1, 8, 8), sampling={"epoch_batches": 17})
    assert source_of(tmp_path, [case_of(1, {"Bladder": BLADDER})], recipe).epoch_batches == 17


def test_neighbouring_slices_come_as_channels_and_are_repeated_at_the_ends(tmp_path):
    recipe = recipe_for(["Bladder"], (1, 20, 24), batch=6, input={"context_slices": 5})
    two = (Channel((-1024, 3071), 0.0, 1.0), Channel((-1024, 3071), 0.0, -1.0))
    batch = source_of(tmp_path, [case_of(1, {"Bladder": BLADDER})], recipe, channels=two).batch(0)
    assert batch.x.shape == (6, 10, 20, 24)
    found = {}
    for x, mask in zip(batch.x, batch.target.masks, strict=True):
        numbers = (x[:, 0, 0] / 480).int().tolist()
        assert numbers[1::2] == [-n for n in numbers[::2]]
        found[numbers[4]] = numbers[::2]
        assert torch.equal(mask[0], torch.from_numpy(BLADDER[numbers[4]]))
    assert found[0] == [0, 0, 0, 1, 2]
    assert found[3] == [1, 2, 3, 4, 5]
    assert found[5] == [3, 4, 5, 5, 5]


@pytest.mark.parametrize(
    ("patch", "shown"),
    [
        ((1, 32, 32), {"context_slices": 3}),
        ((1, 12, 10), {"crop": {"size_yx": [12, 10], "centre": "body"}}),
        ((8, 24, 24), {}),
        ((2, 20, 24), {}),
    ],
)
def test_training_sees_what_inference_sees(tmp_path, patch, shown):
    """Patches larger than the CT, crops and context alike; a body off the middle of the field of view."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 2:14, 10:22] = numbered()[:, 2:14, 10:22] % 97
    recipe = recipe_for(["Bladder"], patch, batch=6, input={"overlap": 0.0, "padding_hu": -900} | shown)
    source = source_of(tmp_path, [case_of(1, {"Bladder": np.zeros(SHAPE, bool)}, hu)], recipe)
    card = recipe.input.card(PLAIN)
    case = source._cases[0]
    large, _ = padded(torch.from_numpy(hu[case.box].astype(np.float32)), card)
    x = source.batch(0).x
    places = [
        tuple(slice(a, a + n) for a, n in zip(corner, patch, strict=True))
        for corner in np.ndindex(*(have - n + 1 for have, n in zip(large.shape, patch, strict=True)))
    ]
    at_inference = [network_input(large, place, card) for place in places]
    for sample in x:
        assert any(torch.equal(sample, expected) for expected in at_inference)
    if patch[0] == 1:
        assert all(any(torch.equal(sample, expected) for sample in x) for expected in at_inference)


@pytest.mark.parametrize("patch", [(1, 12, 12), (4, 12, 12)])
@pytest.mark.parametrize("threads", [0, 2])
def test_a_batch_follows_from_seed_step_and_state_alone(tmp_path, patch, threads):
    recipe = recipe_for(
        ["Bladder"],
        patch,
        augmentation=TURNING,
        sampling={"around_structures": 0.3, "around_false_positives": 0.4},
    )
    cases = [case_of(n, {"Bladder": BLADDER}) for n in (1, 2)]
    first = source_of(tmp_path, cases, recipe)
    wrong = torch.from_numpy(block((4, 6), (12, 14), (14, 20)))[None]
    assert first.remember_false_positives("p0001-1", wrong) == 24
    expected = [first.batch(step) for step in range(5)]
    again = source_of(tmp_path, cases, recipe, threads=threads)
    again.batch(0)  # threads made these ahead without the state
    again.load_state(first.state())
    for step in (3, 4, 0, 1, 2):
        found = again.batch(step)
        assert torch.equal(found.x, expected[step].x)
        assert torch.equal(found.target.masks, expected[step].target.masks)
    again.close()
    other = source_of(tmp_path, cases, recipe, seed=6)
    assert not torch.equal(other.batch(0).x, expected[0].x)
    assert not torch.equal(expected[0].x, expected[1].x)


def test_processes_share_a_batch_without_changing_it(tmp_path):
    recipe = recipe_for(["Bladder"], (4, 12, 12), batch=5, augmentation=TURNING)
    cases = [case_of(1, {"Bladder": BLADDER})]
    whole = source_of(tmp_path, cases, recipe).batch(3)
    parts = [source_of(tmp_path, cases, recipe, part=(rank, 2)).batch(3) for rank in range(2)]
    assert torch.equal(parts[0].x, whole.x[::2])
    assert torch.equal(parts[1].x, whole.x[1::2])


def test_validation_is_not_augmented(tmp_path):
    recipe = recipe_for(["Bladder"], (6, 20, 24), batch=1, augmentation=TURNING)
    cases = [case_of(1, {"Bladder": BLADDER})]
    plain = source_of(tmp_path, cases, recipe, augmented=False).batch(0)
    assert torch.equal(plain.x[0, 0], torch.from_numpy(numbered()).float())
    assert torch.equal(plain.target.masks[0, 0], torch.from_numpy(BLADDER))
    changed = source_of(tmp_path, cases, recipe).batch(0)
    assert not torch.equal(changed.x, plain.x)


def test_around_false_positives_the_middle_is_one_of_those_noted(tmp_path):
    recipe = recipe_for(["Bladder", "Rectum"], (3, 5, 5), batch=40, sampling={"around_false_positives": 1.0})
    cases = [case_of(n, {"Bladder": BLADDER}) for n in (1, 2)]  # nobody looked for their rectum
    cases.append(case_of(3, {"Rectum": BLADDER}))
    source = source_of(tmp_path, cases, recipe, names=["p0001-1", "p0002-1"])
    anywhere = source.batch(0)
    bladder, rectum = block((3, 5), (8, 10), (6, 8)), block((1, 5), (4, 16), (4, 20))
    said = torch.from_numpy(np.stack([bladder, rectum]))
    wrong = bladder & ~BLADDER
    assert source.remember_false_positives("p0002-1", said) == wrong.sum() == 6
    starts = starts_of(source.batch(0))
    middles = {tuple(int(i) + n // 2 for i, n in zip(start, (3, 5, 5), strict=True)) for start in starts}
    assert middles == {tuple(int(i) for i in voxel) for voxel in np.argwhere(wrong)}
    assert source.remember_false_positives("p0002-1", torch.zeros_like(said)) == 0
    assert torch.equal(source.batch(0).x, anywhere.x)


def test_of_many_false_positives_a_thousand_are_kept(tmp_path):
    recipe = recipe_for(["Bladder"], (3, 5, 5))
    source = source_of(tmp_path, [case_of(1, {"Bladder": np.zeros(SHAPE, bool)})], recipe)
    assert source.remember_false_positives("p0001-1", torch.ones(1, *SHAPE, dtype=torch.bool)) == 2880
    kept = source.state()["p0001-1"]
    assert kept.shape == (1000, 3)
    assert kept.amin(0).tolist() == [0, 0, 0]
    assert kept.amax(0).tolist() == [5, 19, 23]


def test_the_share_around_false_positives_is_that_of_the_recipe(tmp_path):
    recipe = recipe_for(["Bladder"], (1, 1, 1), batch=500, sampling={"around_false_positives": 0.1})
    source = source_of(tmp_path, [case_of(1, {"Bladder": np.zeros(SHAPE, bool)})], recipe)
    source.remember_false_positives("p0001-1", torch.from_numpy(block((3, 4), (8, 9), (6, 7)))[None])
    at = int(numbered()[3, 8, 6])
    assert 30 < int((source.batch(0).x == at).sum()) < 70


def test_a_case_without_the_target_is_a_negative_and_one_that_nobody_looked_at_is_left_out(tmp_path):
    absent, unknown = {"Bladder": np.zeros(SHAPE, bool)}, {"Rectum": BLADDER}
    recipe = recipe_for(["Bladder"], (3, 8, 8), batch=4)
    source = source_of(tmp_path, [case_of(1, absent), case_of(2, unknown)], recipe)
    assert source.left_out == ("p0002-1",)
    assert source.epoch_batches == 1
    batch = source.batch(0)
    assert batch.target.known.all()
    assert not batch.target.masks.any()


@pytest.mark.parametrize(
    ("masks", "sampling"),
    [({"Rectum": BLADDER}, {}), ({"Bladder": np.zeros(SHAPE, bool)}, {"slices_without": 0.0})],
)
def test_a_data_set_that_teaches_nothing_is_refused(tmp_path, masks, sampling):
    recipe = recipe_for(["Bladder"], (1, 8, 8), sampling=sampling)
    cases = [case_of(1, masks), case_of(2, {"Bladder": BLADDER})]
    with pytest.raises(DataSetInvalid, match="None of these cases shows Bladder") as refused:
        source_of(tmp_path, cases, recipe, names=["p0001-1"])
    assert refused.value.code == "data.nothing-known"


def test_in_a_mirror_left_is_right_and_so_is_what_is_known_of_it(tmp_path):
    left, right = block((1, 5), (3, 9), (14, 20)), block((2, 4), (5, 8), (3, 6))
    masks = {"Femur_Head_L": left, "Femur_Head_R": right, "A_Iliac_L": left}
    recipe = recipe_for(
        ["Femur_Head_L", "Femur_Head_R", "A_Iliac_L", "A_Iliac_R"],
        (6, 20, 24),
        batch=1,
        augmentation=[{"name": "flip", "arguments": {"probability": 1.0}}],
    )
    cases = [case_of(1, masks), case_of(2, {"A_Iliac_R": left})]
    batch = source_of(tmp_path, cases, recipe, names=["p0001-1"]).batch(0)
    torch.testing.assert_close(
        batch.x[0, 0], torch.from_numpy(numbered()[:, :, ::-1].copy()).float(), atol=1e-2, rtol=0
    )
    assert torch.equal(batch.target.masks[0, 0], torch.from_numpy(right[:, :, ::-1].copy()))
    assert torch.equal(batch.target.masks[0, 1], torch.from_numpy(left[:, :, ::-1].copy()))
    assert batch.target.known.tolist() == [[True, True, False, True]]
    assert torch.equal(batch.target.masks[0, 3], batch.target.masks[0, 1])


@pytest.mark.parametrize("patch", [(1, 12, 12), (4, 12, 12)])
def test_a_warped_mask_lies_on_its_warped_image(tmp_path, patch):
    """A structure of 1000 HU in 0 HU: it is where the image is above half, but for the rim of one voxel."""
    bladder = block((1, 5), (5, 14), (7, 17))
    hu = np.where(bladder, 1000, 0).astype(np.int16)
    recipe = recipe_for(["Bladder"], patch, batch=20, augmentation=TURNING[:4])
    batch = source_of(tmp_path, [case_of(1, {"Bladder": bladder}, hu)], recipe).batch(0)
    mask, x = batch.target.masks[:, 0], batch.x[:, 0]
    assert mask[x > 999].all()
    assert not mask[x < 1].any()
    assert 0.2 < mask.float().mean() < 0.9


def test_a_turned_crop_shows_what_lies_around_it_and_padding_only_beyond_the_ct(tmp_path):
    hu = np.full((2, 40, 40), 7, np.int16)
    crop = {"crop": {"size_yx": [16, 16], "centre": "body"}, "padding_hu": -1000}
    turn = [{"name": "rotation", "arguments": {"degrees_zyx": [45, 0, 0]}}]
    cases = [case_of(1, {"Bladder": np.zeros(hu.shape, bool)}, hu)]
    recipe = recipe_for(["Bladder"], (1, 16, 16), batch=8, input=crop, augmentation=turn)
    assert (source_of(tmp_path, cases, recipe).batch(0).x - 7).abs().max() < 1e-3
    whole = recipe_for(["Bladder"], (1, 40, 40), batch=8, input={"padding_hu": -1000}, augmentation=turn)
    corners = source_of(tmp_path, cases, whole).batch(0).x[:, 0, 0, 0]
    assert float(corners.min()) == -1000


def test_a_warp_that_moves_nothing_gives_the_patch_itself(tmp_path):
    """Bent by nothing, so that the looking up is done and not left out."""
    recipe = recipe_for(["Bladder"], (4, 12, 12), batch=5)
    cases = [case_of(1, {"Bladder": BLADDER})]
    plain = source_of(tmp_path, cases, recipe).batch(0)
    still = [{"name": "elastic", "arguments": {"smooth_mm": 5, "displacement_mm": 0}}]
    bent = source_of(
        tmp_path, cases, recipe_for(["Bladder"], (4, 12, 12), batch=5, augmentation=still)
    ).batch(0)
    # the same places, because what is drawn for them comes first
    torch.testing.assert_close(bent.x, plain.x, atol=1e-2, rtol=0)
    assert torch.equal(bent.target.masks, plain.target.masks)


@pytest.mark.gpu
@pytest.mark.parametrize("patch", [(1, 12, 12), (4, 12, 12)])
def test_a_gpu_sees_what_the_cpu_sees(tmp_path, patch):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    recipe = recipe_for(["Bladder"], patch, batch=20, augmentation=TURNING)
    cases = [case_of(1, {"Bladder": BLADDER})]
    here = source_of(tmp_path, cases, recipe).batch(0)
    there = source_of(tmp_path, cases, recipe, device="cuda").batch(0).to("cpu")
    torch.testing.assert_close(there.x, here.x, atol=0.5, rtol=0)
    assert float((there.target.masks != here.target.masks).float().mean()) < 0.001
