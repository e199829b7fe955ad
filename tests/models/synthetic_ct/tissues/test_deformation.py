import torch

from models.chance import Chance
from models.synthetic_ct.tissues.deformation import AnatomyMap, see
from models.synthetic_ct.tissues.tissue_maps import Tissue

PATCH = (20, 20, 32)


def anatomy() -> AnatomyMap:
    codes = torch.zeros((230, 165, 220), dtype=torch.uint8)
    codes[:, 50:150, 20:200] = int(Tissue.FAT)
    codes[:, 60:140, 120:190] = int(Tissue.HIP_L)
    codes[:, 60:140, 30:100] = int(Tissue.HIP_R)
    codes[50:90, 85:115, 100:120] = int(Tissue.BLADDER)
    return AnatomyMap.of(codes)


def test_the_organs_that_can_be_filled_are_found_where_they_are():
    bladder, rectum = anatomy().centres_mm
    assert bladder is not None
    assert bladder.tolist() == [139, 199, 219]  # mean of 50..89, 85..114, 100..119 times 2 mm
    assert rectum is None


def test_the_fine_and_the_coarse_view_show_the_same_place():
    for number in range(4):
        seen = see(anatomy(), PATCH, 12.0, Chance.of(1, number))
        assert seen.fine.shape == tuple(2 * n for n in PATCH)
        assert seen.coarse.shape == PATCH
        middle = seen.fine[::2, ::2, ::2]
        assert (middle == seen.coarse).float().mean() > 0.8


def test_left_is_towards_larger_columns_mirrored_or_not():
    seen_both_ways = set()
    for number in range(12):
        seen = see(anatomy(), PATCH, 12.0, Chance.of(2, number))
        left, right = ((seen.coarse == int(t)).nonzero().float() for t in (Tissue.HIP_L, Tissue.HIP_R))
        if len(left) > 50 and len(right) > 50:
            assert left[:, 2].mean() > right[:, 2].mean()
            seen_both_ways.add(len(left) > len(right))
    assert seen_both_ways


def test_what_lies_beyond_the_map_is_air_and_said_to_be_unknown():
    unknown = 0
    for number in range(12):
        seen = see(anatomy(), PATCH, 25.0, Chance.of(3, number))
        unknown += int((~seen.coarse_known).sum())
        assert float((seen.coarse == 0).float().mean()) > 0.2
    assert unknown > 0
