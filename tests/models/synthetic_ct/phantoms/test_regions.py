from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from models.synthetic_ct.phantoms.phantom import PhantomSample, pelvic_phantom
from models.synthetic_ct.phantoms.regions import NODAL_MARGIN_MM, RegionPart
from models.synthetic_ct.phantoms.slab import Slab
from models.synthetic_ct.phantoms.solids import ball
from models.synthetic_ct.tissues.tissue_maps import Tissue

from .conftest import box_grid

FEMALE, MALE = 900_010, 900_011
STEP_MM = 3.0


@cache
def scan(seed: int) -> PhantomSample:
    patient = pelvic_phantom(seed)
    return patient.sample(box_grid(patient, np.array([0.0, 0, 60]), np.array([105.0, 90, 132]), STEP_MM))


def height_mm(sample: PhantomSample) -> np.ndarray:
    """Of each slice above the femoral heads."""
    return sample.grid.slice_origins_lps_mm[:, 2] - sample.patient.origin_lps_mm[2]


def test_the_two_patients_are_a_woman_and_a_man():
    assert pelvic_phantom(FEMALE).plan.female
    assert not pelvic_phantom(MALE).plan.female


def test_a_part_is_its_body_where_the_tissue_allows_it_and_between_its_limits():
    patient = pelvic_phantom(FEMALE)
    grid = box_grid(patient, np.zeros(3), np.full(3, 13.0), 0.5)
    slab = Slab.of(grid, 0, grid.shape_zyx[0], patient.origin_lps_mm)
    tissue = np.full(grid.shape_zyx, Tissue.FAT, np.uint8)
    tissue[:, :, : grid.columns // 2] = Tissue.MUSCLE

    def cm3(part: RegionPart) -> float:
        mask = np.zeros(grid.shape_zyx, np.bool_)
        part.mark(slab, tissue, mask)
        return mask.sum() * 0.5**3 / 1000

    whole = 4 / 3 * np.pi * 1.0**3
    groups = [[ball(np.zeros(3), 10.0)]]
    assert cm3(RegionPart(groups, (Tissue.FAT, Tissue.MUSCLE))) == pytest.approx(whole, rel=0.01)
    assert cm3(RegionPart(groups, (Tissue.FAT,))) == pytest.approx(whole / 2, rel=0.02)
    above = RegionPart(groups, (Tissue.FAT,), low_mm=(-np.inf, -np.inf, 0.0))
    assert cm3(above) == pytest.approx(whole / 4, rel=0.03)
    assert cm3(RegionPart([[ball((99.0, 0, 0), 10.0)]], (Tissue.FAT,))) == 0


def test_the_ctv_is_the_primary_and_the_nodal_one_together():
    sample = scan(FEMALE)
    assert (sample.mask("CTV") == (sample.mask("CTVp") | sample.mask("CTVn"))).all()
    volumes_cm3 = {name: sample.mask(name).sum() * STEP_MM**3 / 1000 for name in ("CTVp", "CTVn")}
    assert 100 < volumes_cm3["CTVp"] < 300
    assert 150 < volumes_cm3["CTVn"] < 500


def test_no_ctv_lies_on_bone_muscle_bowel_bladder_or_rectum():
    sample = scan(FEMALE)
    allowed = {Tissue.FAT, Tissue.ARTERY, Tissue.VEIN, Tissue.UTERUS, Tissue.OVARY}
    assert set(np.unique(sample.tissue[sample.mask("CTV")]).tolist()) <= allowed


def test_the_nodal_ctv_is_the_vessels_and_seven_millimetres_around_them():
    sample = scan(FEMALE)
    nodal, z = sample.mask("CTVn"), height_mm(sample)
    vessels = np.logical_or.reduce([sample.mask(f"{v}_Iliac_{s}") for v in "AV" for s in "LR"])
    away_mm = ndimage.distance_transform_edt(~vessels) * STEP_MM
    fat = sample.tissue == Tissue.FAT
    between = (z > 122) & (z < 148)  # above the presacral space, below L4/5
    near = fat & (away_mm < NODAL_MARGIN_MM - STEP_MM)
    far = fat & (away_mm > NODAL_MARGIN_MM + STEP_MM)
    assert near[between].sum() > 100
    assert nodal[between][near[between]].mean() > 0.97
    assert nodal[between][far[between]].mean() < 0.01
    assert nodal[between][vessels[between]].all()
    assert not nodal[z > 175].any()


def test_obturator_and_presacral_nodes_are_in_it_on_both_sides():
    sample = scan(FEMALE)
    x = np.arange(sample.grid.columns) * STEP_MM + sample.grid.slice_origins_lps_mm[0, 0]
    x = x - sample.patient.origin_lps_mm[0]
    nodal, z = sample.mask("CTVn"), height_mm(sample)
    obturator = nodal[(z > 0) & (z < 18)].any((0, 1))
    assert obturator[x > 30].any()
    assert obturator[x < -30].any()
    assert not obturator[np.abs(x) < 20].any()
    bone = sample.tissue == Tissue.SACRUM
    presacral = nodal & (ndimage.distance_transform_edt(~bone) * STEP_MM < 9)
    assert presacral[:, :, np.abs(x) < 12].any()


def test_the_primary_ctv_holds_the_uterus_and_reaches_the_wall_of_the_pelvis():
    sample = scan(FEMALE)
    primary, uterus = sample.mask("CTVp"), sample.mask("Uterus")
    z = height_mm(sample)
    body = uterus & (z > 20)[:, None, None]
    _, count = ndimage.label(body)
    x = np.arange(sample.grid.columns) * STEP_MM + sample.grid.slice_origins_lps_mm[0, 0]
    middle = np.abs(x - sample.patient.origin_lps_mm[0]) < 25  # the ovaries lie further out
    assert count
    assert primary[:, :, middle][body[:, :, middle]].all()
    muscle = ndimage.distance_transform_edt(sample.tissue != Tissue.MUSCLE) * STEP_MM
    level = (z > -4) & (z < 12)
    for side in (1, -1):
        lateral = primary & (side * (x - sample.patient.origin_lps_mm[0]) > 20)
        assert muscle[level][lateral[level]].min() <= 2 * STEP_MM
    assert not primary[z < -35].any()


def test_a_man_has_no_ctv():
    sample = scan(MALE)
    assert not any(name.startswith("CTV") for name in (*sample.truth(), *sample.known()))
    with pytest.raises(KeyError):
        sample.mask("CTVn")


def test_a_woman_shows_her_ctv_and_what_she_has_not_is_known_to_be_absent():
    known = scan(FEMALE).known()
    assert {"CTV", "CTVp", "CTVn"} <= set(scan(FEMALE).truth())
    assert set(known) == set(scan(FEMALE).patient.structures)
    assert not known["Prostate"].any()
    assert known["Uterus"].any()
    assert not scan(MALE).known()["Uterus"].any()


@pytest.mark.parametrize("seed", [FEMALE, MALE])
def test_iliac_vessels_part_into_left_and_right(seed):
    sample = scan(seed)
    z = height_mm(sample)
    for name, tissue in (("A_Iliac", Tissue.ARTERY), ("V_Iliac", Tissue.VEIN)):
        left, right = sample.mask(f"{name}_L"), sample.mask(f"{name}_R")
        assert not (left & right).any()
        middle = ((z > 40) & (z < 140))[:, None, None]
        assert ((left | right) & middle == (sample.tissue == tissue) & middle).all()
        assert np.argwhere(left)[:, 2].mean() > np.argwhere(right)[:, 2].mean() + 40 / STEP_MM
        assert 0.6 < left.sum() / right.sum() < 1.6


def test_the_bowel_bag_holds_all_bowel_and_the_cord_lies_in_the_canal():
    sample = scan(MALE)
    bag, bowel = sample.mask("Bag_Bowel"), sample.mask("Bowel_Small") | sample.mask("Colon")
    assert bag[bowel].all()
    assert 1.2 < bag.sum() / bowel.sum() < 2.5
    cord, canal = sample.mask("SpinalCord"), sample.mask("SpinalCanal")
    assert canal[cord].all()
    assert 0.3 < cord.sum() / canal.sum() < 0.7  # (6 / 8.6)^2 = 0.49
    marrow = sample.mask("Sacrum") | sample.mask("Bone_Pelvic_L") | sample.mask("Bone_Pelvic_R")
    assert (sample.mask("BoneMarrow") == marrow).all()
