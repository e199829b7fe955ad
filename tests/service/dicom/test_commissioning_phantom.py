"""The commissioning phantom: every mark where it says, as large as it says, in every position."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from service.dicom.commissioning_phantom import AIR_HU, WATER_HU, mark_field, marks_on, phantom_hu
from service.dicom.patient_grids import ORIENTATIONS, patient_grid
from service.dicom.phantom_shapes import Ball, Boxes, Wedge


def grid(position="HFS", spacing=2.5, slice_mm=5.0):
    size = int(np.ceil(340 / spacing))
    return patient_grid(
        position,
        shape_zyx=(int(np.ceil(240 / slice_mm)), size, size),
        spacing_zyx_mm=(slice_mm, spacing, spacing),
    )


def mark(name, on):
    return next(mark for mark in marks_on(on) if mark.name == name)


@pytest.mark.parametrize("slice_mm", [1.5, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("spacing", [0.9765625, 1.5, 2.0, 2.5])
def test_volumes_counted_in_voxels_are_right_to_half_a_percent(spacing, slice_mm):
    on = grid("HFP", spacing, slice_mm)
    for one in marks_on(on):
        counted = mark_field(on, one).volume_cm3(on)
        exact = one.shape.volume_cm3
        assert counted == pytest.approx(exact, rel=0.005 if isinstance(one.shape, Ball) else 1e-9)


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_every_position_has_the_same_marks_in_the_same_place(position):
    supine, other = marks_on(grid("HFS")), marks_on(grid(position))
    for one, two in zip(supine, other, strict=True):
        assert one.name == two.name
        assert np.allclose(one.shape.extent_lps_mm, two.shape.extent_lps_mm)
        assert np.allclose(one.shape.centre_lps_mm, two.shape.centre_lps_mm)
        assert one.shape.volume_cm3 == pytest.approx(two.shape.volume_cm3)


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_the_voxels_of_each_mark_lie_about_its_printed_middle(position):
    on = grid(position)
    hu = phantom_hu(on, marks_on(on))
    k, row, column = np.nonzero(hu == 200)
    steps = row[:, None] * on.row_step_lps_mm + column[:, None] * on.column_step_lps_mm
    middle = (on.slice_origins_lps_mm[k] + steps).mean(axis=0)
    assert np.allclose(middle, mark("Ball_L", on).shape.centre_lps_mm, atol=0.3)
    assert middle[0] > 60


def test_left_letter_is_left_and_head_letter_is_at_the_head():
    on = grid()
    assert mark("Letter_L", on).shape.centre_lps_mm[0] > 100
    assert mark("Letter_R", on).shape.centre_lps_mm[0] < -100
    assert mark("Letter_H", on).shape.centre_lps_mm[2] > 80
    assert mark("Letter_F", on).shape.centre_lps_mm[2] < -80
    assert mark("Cube_Anterior", on).shape.centre_lps_mm[1] < -40


def test_letters_are_upright_in_a_supine_transverse_view():
    on = grid(spacing=2.5)
    hu = phantom_hu(on, [mark("Letter_L", on)])[24]
    rows, columns = np.nonzero(hu == 1000)
    drawn = hu[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 1000
    assert drawn[:, : drawn.shape[1] // 5].all()
    assert drawn[-2:].all()
    assert not drawn[: drawn.shape[0] // 2, drawn.shape[1] // 2 :].any()


def test_the_wedge_tells_the_slice():
    on = grid(slice_mm=5.0, spacing=2.5)
    wedge = mark("Wedge", on).shape
    hu = phantom_hu(on, marks_on(on))
    lengths = [(hu[k] == 800).any(axis=0).sum() * 2.5 for k in range(4, 44)]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == 40
    assert lengths == [float(wedge.length_mm(z)) for z in on.slice_origins_lps_mm[4:44, 2]]


def test_marks_do_not_touch_one_another():
    for spacing in (1.0, 2.0, 3.0):
        on = patient_grid(shape_zyx=(48, 128, 128), spacing_zyx_mm=(5, spacing, spacing))
        for one, two in combinations(marks_on(on), 2):
            a, b = one.shape.extent_lps_mm, two.shape.extent_lps_mm
            assert ((a[:, 0] >= b[:, 1]) | (b[:, 0] >= a[:, 1])).any()


def test_marks_lie_in_water_and_water_in_air():
    on = grid()
    hu = phantom_hu(on, ())
    assert set(np.unique(hu)) == {AIR_HU, WATER_HU}
    for one in marks_on(on):
        field = mark_field(on, one)
        assert (hu[field.slices_zyx][field.field > 0] == WATER_HU).all()


def test_the_body_narrows_towards_the_head():
    on = grid()
    water = (phantom_hu(on, ()) == WATER_HU).sum(axis=(1, 2))
    inside = water[water > 0]
    assert (np.diff(inside) <= 0).all()
    assert inside[-1] < 0.85 * inside[0]


def test_no_mark_touches_the_border_of_its_box():
    on = grid()
    for one in marks_on(on):
        field = mark_field(on, one).field
        for axis in range(3):
            assert (np.take(field, [0, -1], axis=axis) < 0).all()


def test_shapes_worked_out_on_paper():
    boxes = Boxes(np.array([[(0, 10), (0, 10), (0, 10)], [(10, 20), (0, 20), (0, 10)]], dtype=float))
    assert boxes.volume_cm3 == pytest.approx(3.0)
    assert boxes.centre_lps_mm == pytest.approx([(5 * 1 + 15 * 2) / 3, (5 + 20) / 3, 5])
    assert boxes.extent_lps_mm.tolist() == [[0, 20], [0, 20], [0, 10]]
    assert Ball((0, 0, 0), 10).volume_cm3 == pytest.approx(4.18879, rel=1e-5)
    wedge = Wedge(0.0, (0.0, 10.0), (0.0, 40.0), pixel_mm=1.0, slice_mm=10.0)
    assert wedge.length_mm(np.array([5.0, 15, 25, 35])).tolist() == [
        23,
        28,
        33,
        38,
    ]  # 22.5, 27.5 ... rounded up
    assert wedge.volume_cm3 == pytest.approx((23 + 28 + 33 + 38) * 10 * 10 / 1000)
    assert wedge.centre_lps_mm[0] == pytest.approx((23**2 + 28**2 + 33**2 + 38**2) / 2 / 122)
