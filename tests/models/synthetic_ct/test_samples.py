import numpy as np
import pytest
import torch

from models.chance import Chance
from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED
from models.synthetic_ct.samples import AIR_HU, SyntheticCt, commonest_of_eight
from models.synthetic_ct.scanner import field_of_view_cut
from models.synthetic_ct.tissues.tissue_maps import Tissue, TissueMap

PATCH = (16, 16, 24)


def block_map() -> TissueMap:
    """A body of fat and muscle with a bladder, two hip bones and a left femoral head where they belong."""
    codes = np.zeros((130, 165, 220), np.uint8)
    codes[:, 60:150, 30:190] = Tissue.FAT
    codes[:, 70:140, 40:180] = Tissue.MUSCLE
    codes[50:90, 80:110, 90:130] = Tissue.BLADDER
    codes[50:90, 80:120, 140:150] = Tissue.HIP_L
    codes[50:90, 80:120, 70:80] = Tissue.HIP_R
    codes[50:80, 85:110, 152:175] = Tissue.FEMUR_HEAD_L
    codes[50:80, 85:110, 45:68] = Tissue.FEMUR_HEAD_R
    return TissueMap("block__test", codes)


@pytest.fixture(scope="module")
def maker() -> SyntheticCt:
    return SyntheticCt(3, PATCH, 15.0, [block_map()])


def test_a_sample_is_a_function_of_its_number(maker):
    first, other = maker.sample(7), maker.sample(8)
    again = SyntheticCt(3, PATCH, 15.0, [block_map()]).sample(7)
    assert torch.equal(first.hu, again.hu)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.hu, other.hu)


def test_samples_are_ct_numbers_and_known_classes(maker):
    seen = set()
    for number in range(6):
        sample = maker.sample(number)
        assert sample.hu.shape == sample.labels.shape == PATCH
        assert float(sample.hu.min()) >= -1024
        assert float(sample.hu.max()) <= 3071
        seen |= set(sample.labels.unique().tolist())
    assert {0, 1, 7, 8} <= seen <= {0, 1, 5, 6, 7, 8}


def test_left_stays_on_the_left_mirrored_or_not(maker):
    checked = 0
    for number in range(10):
        labels = maker.sample(number).labels
        left, right = ((labels == c).nonzero().float()[:, 2] for c in (7, 8))
        if len(left) > 3 and len(right) > 3:
            assert left.mean() > right.mean()
            checked += 1
    assert checked >= 5


def test_bone_is_brighter_than_fat_where_the_labels_say_bone(maker):
    chance = Chance.of(1, 1)
    sample = maker.from_map(0, chance)
    bone, rest = np.isin(sample.labels.numpy(), (7, 8)), sample.labels.numpy() == 0
    assert (
        float(sample.hu[torch.from_numpy(bone)].mean())
        > float(sample.hu[torch.from_numpy(rest)].mean()) + 200
    )


def test_nothing_is_labelled_where_the_scan_shows_nothing(maker):
    for number in range(8):
        sample = maker.sample(number)
        blank = (sample.hu == -1000).all(dim=2).all(dim=1)
        assert int(sample.labels[blank].sum()) == 0


def test_phantoms_are_mixed_in_as_told(monkeypatch):
    asked = []
    monkeypatch.setattr(SyntheticCt, "from_phantom", lambda self, seed, chance: asked.append(seed))
    monkeypatch.setattr(SyntheticCt, "from_map", lambda self, index, chance: None)
    maker = SyntheticCt(1, PATCH, 15.0, [block_map()], (100, 110), 0.25)
    for number in range(400):
        maker.sample(number)
    assert 70 < len(asked) < 130
    assert set(asked) == set(range(100, 110))


def test_a_phantom_sample_shows_the_pelvis():
    maker = SyntheticCt(4, (14, 14, 24), 20.0, (), (50, 51))
    labels = [set(maker.sample(n).labels.unique().tolist()) for n in range(2)]
    assert any({7, 8, 9} <= classes for classes in labels)
    assert torch.equal(maker.sample(1).hu, maker.sample(1).hu)


def test_seeds_kept_for_the_demonstration_are_refused():
    with pytest.raises(ValueError, match="never trained on"):
        SyntheticCt(1, PATCH, 15.0, (), (NEVER_TRAINED_FROM_SEED - 5, NEVER_TRAINED_FROM_SEED + 1))
    SyntheticCt(1, PATCH, 15.0, (), (NEVER_TRAINED_FROM_SEED - 5, NEVER_TRAINED_FROM_SEED))


def test_nothing_to_make_samples_from_is_refused():
    with pytest.raises(ValueError, match="nothing to make samples from"):
        SyntheticCt(1, PATCH, 15.0)


def test_a_voxel_is_what_most_of_its_eight_parts_are():
    parts = np.zeros((2, 2, 4), np.uint8)
    parts[0, :, :2] = 3  # four of eight; the other four are background, which was there first
    parts[:, :, 2:] = 9
    parts[0, 0, 2] = 2
    assert commonest_of_eight(parts).tolist() == [[[0, 9]]]


def test_the_field_of_view_is_sometimes_whole_and_sometimes_cut():
    cuts = [field_of_view_cut(PATCH, 5.0, Chance.of(2, n)).float().mean().item() for n in range(40)]
    assert min(cuts) == 0
    assert max(cuts) > 0.1


def test_smooth_patterns_have_unit_spread_and_the_asked_shape():
    pattern = Chance.of(5, 1).smooth((30, 30, 40), 4.0, 3)
    assert pattern.shape == (3, 30, 30, 40)
    assert 0.6 < float(pattern.std()) < 1.4
    assert AIR_HU == -1000
