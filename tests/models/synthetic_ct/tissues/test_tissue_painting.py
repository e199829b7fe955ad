import pytest
import torch

from models.chance import Chance
from models.synthetic_ct.tissues.tissue_maps import Tissue
from models.synthetic_ct.tissues.tissue_painting import MEAN_HU, MEAN_HU_WITH_CONTRAST, paint


def columns(*tissues: Tissue) -> torch.Tensor:
    """Tissues side by side, each 16 x 16 x 16 voxels."""
    return torch.cat([torch.full((16, 16, 16), int(t), dtype=torch.uint8) for t in tissues], dim=2)


def means(codes: torch.Tensor, number: int) -> dict[int, float]:
    hu = paint(codes, 2.5, Chance.of(11, number))
    return {int(t): float(hu[codes == t].mean()) for t in codes.unique()}


def test_every_tissue_has_a_range_and_contrast_only_adds():
    assert set(MEAN_HU) == set(Tissue)
    for tissue, enhanced in MEAN_HU_WITH_CONTRAST.items():
        assert enhanced[0] >= MEAN_HU[tissue][0]
        assert enhanced[1] > MEAN_HU[tissue][1]


def test_air_fat_muscle_and_bone_stand_in_this_order():
    codes = columns(Tissue.AIR, Tissue.FAT, Tissue.MUSCLE, Tissue.HIP_L)
    for number in range(5):
        hu = means(codes, number)
        assert hu[Tissue.AIR] == pytest.approx(-1000)
        assert -140 < hu[Tissue.FAT] < -40
        assert -20 < hu[Tissue.MUSCLE] < 80
        assert hu[Tissue.HIP_L] > 100


def test_bones_have_a_cortex():
    codes = torch.zeros((24, 24, 24), dtype=torch.uint8)
    codes[4:20, 4:20, 4:20] = int(Tissue.HIP_R)
    for number in range(4):
        hu = paint(codes, 2.5, Chance.of(12, number))
        assert float(hu[4, 6:18, 6:18].mean()) > float(hu[10:14, 10:14, 10:14].mean())


def test_bladder_and_bowel_change_from_sample_to_sample():
    codes = columns(Tissue.BLADDER, Tissue.RECTUM, Tissue.COLON, Tissue.BOWEL)
    drawn = [means(codes, number) for number in range(12)]
    for organ in (Tissue.RECTUM, Tissue.COLON):
        found = [hu[organ] for hu in drawn]
        assert max(found) - min(found) > 100  # gas in one, stool in another
    assert min(hu[Tissue.BLADDER] for hu in drawn) > -400
    assert all(-1000 < hu[Tissue.BOWEL] < 600 for hu in drawn)


def test_the_same_chance_paints_the_same_picture():
    codes = columns(Tissue.FAT, Tissue.BLADDER, Tissue.FEMUR_HEAD_L)
    assert torch.equal(paint(codes, 2.5, Chance.of(1, 2)), paint(codes, 2.5, Chance.of(1, 2)))
