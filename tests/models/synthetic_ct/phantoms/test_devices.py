from functools import cache

import numpy as np
import pytest

from models.synthetic_ct.phantoms.devices import NO_DEVICES, Devices
from models.synthetic_ct.phantoms.phantom import PhantomSample, pelvic_phantom
from models.synthetic_ct.tissues.tissue_maps import Tissue

from .conftest import box_grid

FEMALE, MALE = 900_010, 900_011


@cache
def scan(seed: int, devices: Devices = NO_DEVICES) -> PhantomSample:
    patient = pelvic_phantom(seed, couch=False, devices=devices)
    return patient.sample(box_grid(patient, np.zeros(3), np.array([160.0, 120, 66]), 4.0), noise=False)


def test_packing_lies_between_bladder_and_rectum_and_belongs_to_neither():
    plain, packed = scan(FEMALE), scan(FEMALE, Devices(packing=True))
    for name in ("Bladder", "Rectum", "Sacrum", "Femur_Head_L"):
        assert (plain.mask(name) == packed.mask(name)).all()
    gauze = (packed.tissue == Tissue.SOFT) & (plain.tissue != Tissue.SOFT)
    assert 15 < gauze.sum() * 4.0**3 / 1000 < 60
    rows = np.argwhere(gauze)[:, 1]
    bladder, rectum = (np.argwhere(plain.mask(name))[:, 1].mean() for name in ("Bladder", "Rectum"))
    assert bladder < rows.mean() < rectum
    assert not packed.mask("CTVp")[gauze].any()
    assert packed.hu[gauze].std() > 2 * plain.hu[gauze].std()  # air and threads


def test_the_tandem_reaches_into_the_uterus_and_hides_none_of_it():
    plain, packed = scan(FEMALE), scan(FEMALE, Devices(packing=True))
    metal = packed.hu > 1500
    uterus = plain.mask("Uterus")
    assert (metal & uterus & packed.mask("Uterus")).any()
    z = packed.grid.slice_origins_lps_mm[:, 2] - packed.patient.origin_lps_mm[2]
    inside = packed.mask("Uterus") & (z > 0)[:, None, None]
    assert (inside == (uterus & (z > 0)[:, None, None])).all()


def test_a_man_gets_no_packing():
    assert (scan(MALE, Devices(packing=True)).hu == scan(MALE).hu).all()


@pytest.mark.parametrize(("side", "other"), [("L", "R"), ("R", "L")])
def test_a_prosthesis_is_metal_in_one_hip_with_streaks_around_it(side, other):
    plain, hip = scan(MALE), scan(MALE, Devices(prosthesis=side))
    assert (plain.tissue == hip.tissue).all()
    metal = hip.hu > 2500
    assert (
        metal[hip.mask(f"Femur_Head_{side}")].mean() > 0.15
    )  # a head of 15 mm: 14 of about 120 cm3, and the stem
    assert not metal[hip.mask(f"Femur_Head_{other}")].any()
    changed = np.abs(hip.hu.astype(int) - plain.hu)
    muscle = plain.tissue == Tissue.MUSCLE
    x = np.arange(hip.grid.columns) - hip.grid.columns / 2
    near, far = (muscle & (s * x > 5) for s in ((1, -1) if side == "L" else (-1, 1)))
    assert 30 < changed[near].mean() < 200
    assert changed[far].mean() < 0.5 * changed[near].mean()


def test_streaks_are_on_the_slices_that_show_metal_and_on_no_other():
    patient = pelvic_phantom(MALE, couch=False)
    grid = box_grid(patient, np.array([0.0, 0, 100]), np.array([100.0, 80, 24]), 6.0)
    metal = pelvic_phantom(MALE, couch=False, devices=Devices(prosthesis="L"))
    assert (metal.sample(grid, noise=False).hu == patient.sample(grid, noise=False).hu).all()
