import numpy as np
import pytest

from models.synthetic_ct.label_maps.template_fit import fit
from models.synthetic_ct.tissues.tissue_maps import Tissue

SHAPE = (72, 60, 80)
BOXES = {  # z, y, x from and to
    Tissue.FEMUR_HEAD_L: (16, 32, 22, 34, 58, 70),
    Tissue.FEMUR_HEAD_R: (16, 32, 22, 34, 10, 22),
    Tissue.HIP_L: (24, 52, 18, 40, 50, 58),
    Tissue.HIP_R: (24, 52, 18, 40, 22, 30),
    Tissue.SACRUM: (36, 52, 40, 48, 34, 46),
    Tissue.BLADDER: (24, 38, 14, 28, 32, 48),
}


def body(shift=(0, 0, 0), grow=1.0) -> np.ndarray:
    """Boxes in fat, moved by voxels and enlarged about the middle."""
    codes = np.full(SHAPE, Tissue.FAT, np.uint8)
    middle = np.array(SHAPE) / 2
    for tissue, box in BOXES.items():
        low, high = np.array(box[::2]), np.array(box[1::2])
        low, high = (np.round(middle + grow * (c - middle) + shift).astype(int) for c in (low, high))
        codes[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = tissue
    return codes


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_what_is_already_in_place_stays():
    found = fit(body(), body(), np.ones(SHAPE, bool))
    assert found.bones_dsc > 0.95
    assert dsc(found.warped(body()) == Tissue.BLADDER, body() == Tissue.BLADDER) > 0.95


@pytest.mark.parametrize(("shift", "grow"), [((4, -3, 5), 1.0), ((0, 0, 0), 1.12), ((-3, 2, 2), 0.9)])
def test_a_moved_and_enlarged_body_is_found(shift, grow):
    mine = body(shift, grow)
    known = np.where(mine == Tissue.SACRUM, 0, mine)  # nobody drew the sacrum
    known[known == Tissue.FAT] = 0
    found = fit(body(), known, np.ones(SHAPE, bool))
    warped = found.warped(body())
    before = np.mean([dsc(body() == tissue, mine == tissue) for tissue in BOXES])
    after = {tissue: dsc(warped == tissue, mine == tissue) for tissue in BOXES}
    assert min(after.values()) > 0.85, after
    assert np.mean(list(after.values())) > before + 0.1
    assert found.bones_dsc > 0.75


def test_what_was_not_seen_does_not_pull():
    mine, seen = body((4, 0, 0)), np.ones(SHAPE, bool)
    mine[:30], seen[:30] = 0, False  # the scan ends there: half of the bladder is not shown
    warped = fit(body(), mine, seen).warped(body())
    whole = body((4, 0, 0)) == Tissue.BLADDER
    assert dsc(warped == Tissue.BLADDER, whole) > 0.8


def test_left_and_right_exchanged_do_not_fit():
    exchanged = body()
    pairs = ((Tissue.HIP_L, Tissue.HIP_R), (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_HEAD_R))
    for left, right in pairs:
        at_left, at_right = exchanged == left, exchanged == right
        exchanged[at_left], exchanged[at_right] = right, left
    assert fit(body(), exchanged, np.ones(SHAPE, bool)).bones_dsc < 0.4
