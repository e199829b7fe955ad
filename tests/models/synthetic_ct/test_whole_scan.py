import numpy as np
import pytest
import torch

from models.chance import Chance
from models.synthetic_ct import whole_scan
from models.synthetic_ct.field_of_view import FieldOfView
from models.synthetic_ct.phantoms.phantom import pelvic_phantom
from models.synthetic_ct.tissues.tissue_maps import Tissue, TissueMap
from models.synthetic_ct.whole_scan import Scan, Voxels, _averaged, _shares, scan_of_map, scan_of_phantom

from .one_device import TwoDevices, made_there

VOXELS = Voxels(8.0, 8.0)


def pelvis_map() -> TissueMap:
    """A body with bladder, rectum, hip bones, femoral heads and a sacrum about where they belong."""
    codes = np.zeros((230, 165, 220), np.uint8)
    codes[:, 50:150, 30:190] = Tissue.FAT
    codes[:, 60:140, 40:180] = Tissue.MUSCLE
    codes[50:90, 70:110, 90:130] = Tissue.BLADDER
    codes[50:90, 118:134, 102:118] = Tissue.RECTUM
    codes[50:110, 80:120, 140:150] = Tissue.HIP_L
    codes[50:110, 80:120, 70:80] = Tissue.HIP_R
    codes[50:80, 85:110, 152:175] = Tissue.FEMUR_HEAD_L
    codes[50:80, 85:110, 45:68] = Tissue.FEMUR_HEAD_R
    codes[100:120, 110:130, 95:125] = Tissue.SACRUM
    codes[60:85, 110:118, 100:120] = Tissue.UTERUS
    return TissueMap("block__test", codes)


@pytest.fixture(scope="module")
def scans() -> list[Scan]:
    return [scan_of_map(pelvis_map(), VOXELS, Chance.of(2, n)) for n in range(5)]


def same(a: Scan, b: Scan) -> bool:
    return np.array_equal(a[0].hu, b[0].hu) and all(np.array_equal(a[1][name], b[1][name]) for name in a[1])


def test_voxels_are_the_mean_of_what_they_cover():
    fine = torch.arange(6.0).reshape(1, 1, 6).expand(4, 2, 6)
    halved = _averaged(fine, [_shares(4, 1.0, 2, 2.0), _shares(2, 1.0, 1, 2.0), _shares(6, 1.0, 3, 2.0)])
    assert halved.tolist() == [[[0.5, 2.5, 4.5]]] * 2
    # three voxels of 1.5 mm become two of 2 mm about the same middle: 1.25 of the outer one, 0.75 of the middle
    assert _shares(3, 1.5, 2, 2.0)[0].tolist() == pytest.approx([0.625, 0.375, 0.0])
    assert _shares(5, 1.0, 3, 1.0).sum(1).tolist() == [1, 1, 1]


def test_a_scan_has_the_voxels_that_were_asked_for(scans):
    for volume, masks in scans:
        assert volume.hu.dtype == np.int16
        assert volume.grid.column_spacing_mm == volume.grid.row_spacing_mm == 8.0
        assert np.diff(volume.grid.slice_offsets_mm) == pytest.approx(8.0)
        assert -440 < volume.grid.slice_origins_lps_mm[:, 2].mean() < -250
        assert all(mask.shape == volume.hu.shape for mask in masks.values())


def test_tissues_that_a_map_does_not_have_are_unknown_and_not_absent(scans):
    expected = {
        "Bladder",
        "Rectum",
        "Bone_Pelvic_L",
        "Bone_Pelvic_R",
        "Femur_Head_L",
        "Femur_Head_R",
        "Sacrum",
        "Uterus",
    }
    for _, masks in scans:
        assert set(masks) == expected | {"BoneMarrow"}


def test_the_organs_are_where_the_ct_shows_them(scans):
    for volume, masks in scans:
        bones = masks["Bone_Pelvic_L"] | masks["Bone_Pelvic_R"]
        soft = masks["Bladder"] | masks["Rectum"]
        if bones.any() and soft.any():
            assert np.median(volume.hu[bones]) > np.median(volume.hu[soft]) + 50
        assert not (masks["Bladder"] & masks["Rectum"]).any()
        if masks["Femur_Head_L"].any() and masks["Femur_Head_R"].any():
            left, right = (np.argwhere(masks[f"Femur_Head_{s}"])[:, 2].mean() for s in "LR")
            assert left > right + 100 / 8


def test_the_bladder_keeps_about_its_size(scans):
    volumes = [masks["Bladder"].sum() * 8**3 / 1000 for _, masks in scans]
    assert 0.3 < np.median(volumes) / (80 * 80 * 80 / 1000) < 2.5


def test_a_map_is_shown_only_as_far_as_it_reaches(scans):
    short = pelvis_map()
    short = TissueMap(short.source, short.codes[40:120])  # 160 mm of it
    volume, _ = scan_of_map(short, VOXELS, Chance.of(2, 0))
    whole = scans[0][0]
    assert volume.grid.shape_zyx[0] < whole.grid.shape_zyx[0]
    assert volume.grid.slice_offsets_mm[-1] < 160 / 0.79
    for k in range(volume.grid.shape_zyx[0]):
        assert (volume.hu[k] > -300).any()


def test_a_scan_follows_from_its_chance():
    voxels = Voxels(14.0, 12.0)
    first = scan_of_map(pelvis_map(), voxels, Chance.of(3, 1))
    assert same(first, scan_of_map(pelvis_map(), voxels, Chance.of(3, 1)))
    assert not np.array_equal(first[0].hu, scan_of_map(pelvis_map(), voxels, Chance.of(4, 1))[0].hu)
    phantom = scan_of_phantom(70, voxels, Chance.of(3, 1))
    assert same(phantom, scan_of_phantom(70, voxels, Chance.of(3, 1)))


def test_a_phantom_is_scanned_with_all_that_is_known_of_it():
    volume, masks = scan_of_phantom(71, VOXELS, Chance.of(1, 2))
    assert set(masks) == set(pelvic_phantom(71).structures)
    assert {"Bladder", "Spine", "A_Iliac_L", "Prostate"} <= set(masks)
    assert volume.hu.min() >= -1024
    assert np.median(volume.hu[masks["Bone_Pelvic_L"]]) > 120
    assert np.median(volume.hu[masks["Bladder"]]) < 80


def test_nothing_is_known_where_nothing_is_shown(monkeypatch):
    circle = FieldOfView((-240.0, -175.0, -130.0), (240.0, 160.0, 60.0), circle_mm=90.0)
    monkeypatch.setattr(FieldOfView, "drawn", classmethod(lambda cls, chance: circle))
    volume, masks = scan_of_phantom(72, VOXELS, Chance.of(1, 1))
    blank = np.broadcast_to(circle.outside(volume.grid), volume.hu.shape)
    assert (volume.hu[blank] == -1000).all()
    assert blank.mean() > 0.5
    assert not any(mask[blank].any() for mask in masks.values())
    assert not masks["Femur_Head_L"].all()


def test_every_tensor_of_a_scan_is_made_on_the_device_it_is_asked_for(monkeypatch):
    """As far as a machine without a GPU can show it: with a device given, none is left on the host."""
    monkeypatch.setattr(whole_scan, "_PACKING_SHARE", 1.0)
    with TwoDevices():
        for number in range(6):
            scan_of_map(pelvis_map(), Voxels(16.0, 16.0), Chance.of(6, number))
        scan_of_phantom(70, Voxels(12.0, 16.0), Chance.of(6, 1))


@pytest.mark.parametrize("mix", [lambda there, here: there + here, lambda there, here: here[there.int()]])
def test_a_tensor_left_on_the_host_would_be_noticed(mix):
    with TwoDevices(), pytest.raises(AssertionError, match="left on the host"):
        mix(made_there(3), torch.arange(3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_makes_scans_of_the_same_kind():
    volume, masks = scan_of_map(pelvis_map(), Voxels(6.0, 8.0, "cuda"), Chance.of(2, 1, "cuda"))
    assert isinstance(volume.hu, np.ndarray)
    assert np.median(volume.hu[masks["Bone_Pelvic_L"]]) > np.median(volume.hu[masks["Bladder"]]) + 50
