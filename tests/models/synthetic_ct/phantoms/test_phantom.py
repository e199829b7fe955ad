import subprocess
import sys

import numpy as np
import pytest

from models.synthetic_ct.phantoms import phantom as phantom_module
from models.synthetic_ct.phantoms.organs import bladder
from models.synthetic_ct.phantoms.phantom import Part, pelvic_phantom
from models.synthetic_ct.phantoms.skeleton import HEAD_CENTRE
from models.synthetic_ct.tissues.tissue_maps import Tissue
from models.volume import Grid

from .conftest import box_grid


def hip_grid(seed: int, spacing_mm: float = 6.0) -> Grid:
    return box_grid(pelvic_phantom(seed), np.array([70.0, 0, 0]), np.array([60.0, 70, 60]), spacing_mm)


def test_a_seed_is_one_patient_and_another_seed_another():
    grid = hip_grid(900_010)
    first, again = pelvic_phantom(900_010).sample(grid), pelvic_phantom(900_010).sample(grid)
    assert (first.hu == again.hu).all()
    assert (first.tissue == again.tissue).all()
    other = pelvic_phantom(900_011).sample(grid)
    assert (first.tissue != other.tissue).mean() > 0.02


def turned(grid: Grid, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Grid:
    """The same voxels with slices, rows and columns along other axes, some backwards."""
    steps = [
        grid.slice_origins_lps_mm[1] - grid.slice_origins_lps_mm[0],
        grid.row_step_lps_mm,
        grid.column_step_lps_mm,
    ]
    corner = grid.slice_origins_lps_mm[0].copy()
    for axis, flip in enumerate(flips):
        if flip:
            corner += steps[axis] * (grid.shape_zyx[axis] - 1)
            steps[axis] = -steps[axis]
    k, r, c = order
    shape = [grid.shape_zyx[i] for i in order]
    origins = corner + np.arange(shape[0])[:, None] * steps[k]
    return Grid(origins, steps[c], steps[r], shape[1], shape[2])


@pytest.mark.parametrize(
    ("order", "flips"),
    [
        ((0, 1, 2), (False, True, True)),  # prone
        ((0, 1, 2), (True, False, True)),  # feet first
        ((0, 2, 1), (True, False, False)),  # on one side
        ((1, 2, 0), (False, False, False)),  # coronal
    ],
)
def test_the_patient_is_the_same_however_the_slices_lie(order, flips):
    grid = hip_grid(900_012, 8.0)
    other = turned(grid, order, flips)
    assert np.linalg.det(np.stack([other.column_step_lps_mm, other.row_step_lps_mm, other.normal])) > 0
    patient = pelvic_phantom(900_012)
    straight, lying = patient.sample(grid), patient.sample(other)
    back = tuple(slice(None, None, -1 if flips[i] else 1) for i in order)
    for one, two in ((straight.hu, lying.hu), (straight.tissue, lying.tissue)):
        assert (one.transpose(order) == two[back]).all()


def test_slabs_leave_no_seam(monkeypatch):
    grid, patient = hip_grid(900_013), pelvic_phantom(900_013)
    whole = patient.sample(grid)
    monkeypatch.setattr(phantom_module, "_SLAB_VOXELS", 3 * grid.rows * grid.columns)
    pieces = patient.sample(grid)
    assert (whole.hu == pieces.hu).all()
    assert (whole.tissue == pieces.tissue).all()


def test_slices_need_not_be_evenly_spaced():
    grid, patient = hip_grid(900_013), pelvic_phantom(900_013)
    some = [0, 1, 2, 5, 9, 14]
    uneven = Grid(
        grid.slice_origins_lps_mm[some],
        grid.column_step_lps_mm,
        grid.row_step_lps_mm,
        grid.rows,
        grid.columns,
    )
    assert (patient.sample(uneven).hu == patient.sample(grid).hu[some]).all()


def test_the_bladder_has_the_volume_of_its_ellipsoid():
    patient = pelvic_phantom(900_010)
    body = bladder(patient.plan)
    grid = box_grid(patient, body.centre, body.radii_mm + 6, 2.0)
    counted = patient.sample(grid).mask("Bladder").sum() * 8
    assert counted == pytest.approx(4 / 3 * np.pi * np.prod(body.radii_mm), rel=0.01)


def test_left_is_left():
    patient = pelvic_phantom(900_014)
    grid = box_grid(patient, np.zeros(3), np.array([150.0, 30, 30]), 6.0)
    shown = patient.sample(grid)
    x = (grid.slice_origins_lps_mm[0, 0] + np.arange(grid.columns) * 6.0) - patient.origin_lps_mm[0]
    for left in ("Femur_Head_L", "Bone_Pelvic_L"):
        assert x[shown.mask(left).any((0, 1))].mean() > 40
        assert x[shown.mask(left[:-1] + "R").any((0, 1))].mean() < -40


def test_the_left_half_is_not_the_mirrored_right():
    patient = pelvic_phantom(900_014)
    left, right = (patient.plan.place(HEAD_CENTRE, side) * (side, 1, 1) for side in (1, -1))
    assert np.linalg.norm(left - right) > 1
    grid = patient.grid(pixel_mm=12, slice_mm=12)
    tissue = patient.sample(grid).tissue
    bones = np.isin(tissue, (Tissue.HIP_L, Tissue.HIP_R))
    assert (bones != bones[:, :, ::-1]).sum() > 0.1 * bones.sum()


def test_a_pelvis_shows_every_structure_and_an_abdomen_no_pelvis():
    patient = pelvic_phantom(900_015)
    pelvis = patient.sample(patient.grid(pixel_mm=8, slice_mm=8)).truth()
    targets = {"CTV", "CTVp", "CTVn"} if patient.plan.female else set()
    assert set(pelvis) == set(phantom_module.DELIVERED) | targets
    abdomen = patient.sample(patient.grid(Part.ABDOMEN, pixel_mm=8, slice_mm=8)).truth()
    assert set(abdomen) == {"Bowel_Small", "Colon", "Spine", "SpinalCanal"}
    chest = patient.sample(patient.grid(Part.THORAX, pixel_mm=8, slice_mm=8))
    assert set(chest.truth()) == {"Spine", "SpinalCanal"}
    assert {Tissue.LUNG, Tissue.BONE, Tissue.HEART} <= set(np.unique(chest.tissue).tolist())


def test_half_a_patient_shows_the_left_half():
    patient = pelvic_phantom(900_015)
    half = patient.sample(patient.grid(Part.HALF, pixel_mm=10, slice_mm=10))
    assert half.mask("Femur_Head_L").any()
    assert not half.mask("Femur_Head_R").any()


def test_the_grid_shows_what_was_asked_for():
    patient = pelvic_phantom(900_015)
    grid = patient.grid(pixel_mm=2.0, slice_mm=3.0)
    assert grid.shape_zyx == (122, 160, 240)
    assert grid.slice_offsets_mm[1] == pytest.approx(3.0)
    assert grid.column_spacing_mm == 2.0
    assert grid.slice_origins_lps_mm[0] - patient.origin_lps_mm == pytest.approx([-239, -159, -130])


def test_tissues_have_the_ct_numbers_of_their_kind():
    patient = pelvic_phantom(900_016)
    shown = patient.sample(patient.grid(pixel_mm=6, slice_mm=6), noise=False)

    def median(*tissues: Tissue) -> float:
        return float(np.median(shown.hu[np.isin(shown.tissue, tissues)]))

    assert -125 < median(Tissue.FAT) < -80
    assert 40 < median(Tissue.MUSCLE) < 75
    assert -5 < median(Tissue.BLADDER) < 40
    assert 120 < median(Tissue.HIP_L, Tissue.HIP_R) < 900
    assert median(Tissue.AIR) < -900


def test_the_couch_can_be_left_out():
    grid = box_grid(pelvic_phantom(900_017), np.array([0.0, 125, 20]), np.array([100.0, 20, 12]), 4.0)
    with_couch = pelvic_phantom(900_017).sample(grid, noise=False).hu
    without = pelvic_phantom(900_017, couch=False).sample(grid, noise=False).hu
    assert (with_couch > -950).mean() > 0.3
    assert (with_couch - without).max() > 50
    assert (without[:, -3:] == -1000).all()


def test_a_name_without_truth_is_refused():
    patient = pelvic_phantom(900_010)
    grid = box_grid(patient, np.zeros(3), np.full(3, 10.0), 5.0)
    with pytest.raises(KeyError):
        patient.sample(grid).mask("Heart")


def test_a_phantom_needs_no_torch():
    program = "import sys, models.synthetic_ct.phantoms.phantom; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
