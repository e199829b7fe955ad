import pytest
import torch

from models.chance import Chance
from models.synthetic_ct.tissues.tissue_maps import Tissue
from models.synthetic_ct.tissues.tissue_painting import paint

VOXEL_MM = 3.0


def pelvis(uterus_from: int = 16) -> torch.Tensor:
    """Fat with a uterus of 36 x 36 mm that ends ``uterus_from`` slices up, bladder in front, rectum behind."""
    codes = torch.full((40, 40, 40), int(Tissue.FAT), dtype=torch.uint8)
    codes[uterus_from:34, 14:26, 14:26] = int(Tissue.UTERUS)
    codes[8:24, 2:12, 10:30] = int(Tissue.BLADDER)
    codes[2:34, 30:38, 15:25] = int(Tissue.RECTUM)
    return codes


def painted(codes: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(paint(codes, VOXEL_MM, Chance.of(21, number), share) for share in (0.0, 1.0))


def test_gauze_and_applicator_lie_around_the_cervix_and_nowhere_else():
    codes, applicators = pelvis(), 0
    for number in range(8):
        plain, packed = painted(codes, number)
        changed = plain != packed
        assert not changed[(codes == Tissue.BLADDER) | (codes == Tissue.RECTUM)].any()
        fat = changed & (codes == Tissue.FAT)
        assert 3 < int(fat.sum()) * VOXEL_MM**3 / 1000 < 90
        assert int(fat[25:].sum()) < 0.2 * int(fat.sum())  # the middle of the uterus is slice 25
        in_uterus = changed & (codes == Tissue.UTERUS)
        applicators += bool(in_uterus.any())
        assert int(in_uterus.sum()) < 0.2 * int((codes == Tissue.UTERUS).sum())
    assert 2 <= applicators <= 8


def test_packing_is_seen_as_air_and_threads():
    codes = pelvis()
    spread = [float(packed[plain != packed].std()) for plain, packed in (painted(codes, n) for n in range(4))]
    assert min(spread) > 60
    assert any(float(painted(codes, n)[1].min()) < -380 for n in range(4))


@pytest.mark.parametrize("codes", [pelvis(0), torch.full((20, 20, 20), 2, dtype=torch.uint8)])
def test_where_no_cervix_is_shown_nothing_is_packed(codes):
    plain, packed = painted(codes, 1)
    assert torch.equal(plain, packed)


def test_what_is_drawn_apart_leaves_the_other_draws_as_they_are():
    one, other = Chance.of(3, 4), Chance.of(3, 4)
    first, second = one.apart(), one.apart()
    values = [first.between(0, 1), second.between(0, 1), float(first.normal(1))]
    assert len(set(values)) == 3
    assert one.between(0, 1) == other.between(0, 1)
    assert torch.equal(one.normal(5), other.normal(5))
    assert Chance.of(3, 4).apart().between(0, 1) == values[0]
