import numpy as np
import pytest

from models import external
from models.volume import CtVolume, Grid, OutsideTrainedRegion


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def outline(volume):
    field = external.segment(volume)["External"]
    return field, field.mask(volume.hu.shape)


def paint_trunk(slab):
    """An oval trunk of muscle with a fat coat, two lungs and gas in a bowel."""
    slab.paint(slab.ellipse((0, 0), (110, 160)), -100, True)
    slab.paint(slab.ellipse((0, 0), (100, 150)), 40, True)
    for side in (-1, 1):
        slab.paint(slab.ellipse((0, 75 * side), (75, 55)), -850, True)
    slab.paint(slab.ellipse((70, 0), (12, 12)), -1000, True)


def paint_flat_couch(slab, top_mm):
    """A hollow board: shells of 2 mm, foam between, dense rails at both ends."""
    slab.paint(slab.bar((top_mm, top_mm + 45), (-240, 240)) & ~slab.body, -930, False)
    for y in (top_mm, top_mm + 43):
        slab.paint(slab.bar((y, y + 2), (-240, 240)) & ~slab.body, 0, False)
    for x in (-240, 225):
        slab.paint(slab.bar((top_mm, top_mm + 14), (x, x + 15)), 150, False)


def test_an_oval_in_air_is_found_to_a_fraction_of_a_pixel(slab):
    slab.paint(slab.ellipse((0, 0), (110, 160)), 0, True)
    volume, truth = slab.volume()
    _, found = outline(volume)
    assert dsc(found, truth) > 0.997


def test_lungs_and_bowel_gas_belong_to_the_body(slab):
    paint_trunk(slab)
    volume, truth = slab.volume(noise_hu=15)
    _, found = outline(volume)
    assert dsc(found, truth) > 0.99
    assert found[:, 80:150, 80:180].all()


@pytest.mark.parametrize("gap_mm", [0, 6])
def test_a_couch_is_left_out_also_where_the_body_lies_on_it(slab, gap_mm):
    paint_trunk(slab)
    paint_flat_couch(slab, 108 + gap_mm)
    volume, truth = slab.volume(noise_hu=15)
    _, found = outline(volume)
    assert dsc(found, truth) > 0.99
    assert not found[:, 180:, :].any()


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_couch_may_lie_on_any_side(slab, turns):
    paint_trunk(slab)
    paint_flat_couch(slab, 108)
    volume, truth = slab.volume()
    grid = volume.grid
    hu = np.ascontiguousarray(np.rot90(volume.hu, turns, axes=(1, 2)))
    turned = CtVolume(
        hu, Grid(grid.slice_origins_lps_mm, grid.column_step_lps_mm, grid.row_step_lps_mm, *hu.shape[1:])
    )
    _, found = outline(turned)
    assert dsc(np.rot90(found, -turns, axes=(1, 2)), truth) > 0.99


def test_a_curved_couch_top_is_left_out(slab):
    paint_trunk(slab)
    ring = slab.ellipse((-140, 0), (252, 300)) & ~slab.ellipse((-140, 0), (249, 297)) & (slab.y > 20)
    slab.paint(ring & ~slab.body, 50, False)
    volume, truth = slab.volume()
    _, found = outline(volume)
    assert dsc(found, truth) > 0.99


def test_a_thick_foam_mattress_is_left_out(slab):
    paint_trunk(slab)
    slab.paint(slab.bar((105, 175), (-240, 240)) & ~slab.body, -880, False)
    volume, truth = slab.volume(noise_hu=15)
    _, found = outline(volume)
    assert dsc(found, truth) > 0.99


def test_arms_beside_the_trunk_are_kept_and_the_air_between_is_not_filled(slab):
    paint_trunk(slab)
    for side in (-1, 1):
        slab.paint(slab.ellipse((0, 210 * side), (35, 32)), 40, True)
    volume, truth = slab.volume()
    _, found = outline(volume)
    assert dsc(found, truth) > 0.993


def test_thin_folds_of_the_body_are_kept(slab):
    slab.paint(slab.ellipse((0, 0), (80, 75)), 40, True)
    slab.paint(slab.ellipse((-85, 0), (25, 7)), 40, True)  # a nose
    volume, truth = slab.volume()
    _, found = outline(volume)
    assert dsc(found, truth) > 0.993
    assert found[:, 220 // 2 - 52, 130].all()


def test_the_surface_lies_between_pixels_where_the_edge_is_soft(slab):
    slab.paint(slab.ellipse((0, 0), (100, 100)), 0, True)
    volume, _ = slab.volume()
    field, _ = outline(volume)
    row = field.field[6, 220 // 2 - field.corner_zyx[1]]
    out = int(np.flatnonzero(row > 0)[0])
    crossing = out - row[out] / (row[out] - row[out - 1]) + field.corner_zyx[2]
    x_mm = (crossing - 259 / 2) * 2.0
    assert x_mm == pytest.approx(-100, abs=0.6)


def test_a_body_cut_by_the_field_of_view_reaches_its_border(slab):
    slab.paint(slab.ellipse((0, 230), (110, 160)), 40, True)
    volume, truth = slab.volume()
    _, found = outline(volume)
    assert dsc(found, truth) > 0.995
    assert found[6, 110, -1]


def test_thin_slices_are_each_given_their_own_outline(make_grid, make_slab):
    slab = make_slab(make_grid((7, 150, 150), (0.8, 2.0, 2.0)))
    slab.paint(slab.ellipse((0, 0), (80, 90)), 40, True)
    volume, truth = slab.volume()
    hu = volume.hu.copy()
    hu[6] = np.roll(hu[6], 1, axis=1)  # one slice moved by 2 mm
    truth[6] = np.roll(truth[6], 1, axis=1)
    _, found = outline(CtVolume(hu, volume.grid))
    assert min(dsc(found[k], truth[k]) for k in range(7)) > 0.985
    assert dsc(found[6], truth[6]) > dsc(found[5], truth[6]) + 0.005


def test_the_outline_does_not_depend_on_the_direction_of_the_axes(slab):
    paint_trunk(slab)
    slab.paint(slab.ellipse((-40, 180), (40, 60)), 40, True)
    paint_flat_couch(slab, 108)
    volume, _ = slab.volume(noise_hu=10)
    _, found = outline(volume)
    _, mirrored = outline(CtVolume(np.ascontiguousarray(volume.hu[:, ::-1, ::-1]), volume.grid))
    assert dsc(mirrored[:, ::-1, ::-1], found) > 0.9999


def test_air_alone_is_refused(make_grid):
    grid = make_grid((6, 100, 100))
    with pytest.raises(OutsideTrainedRegion, match="No body") as refusal:
        external.segment(CtVolume(np.full((6, 100, 100), -1000, np.int16), grid))
    assert refusal.value.code == "external.no-body"


@pytest.mark.shared_data
def test_the_outline_agrees_with_the_clinics_on_a_real_breast_ct(shared_data, read_series):
    volume, masks = read_series(shared_data / "dicom" / "breast-98-slices-jpeg2000", "BODY")
    _, found = outline(volume)
    assert dsc(found, masks["BODY"]) >= 0.99
    assert found.any(axis=(1, 2)).all()


@pytest.mark.shared_data
def test_the_outline_of_a_real_thorax_has_the_volume_measured_by_hand(shared_data, read_series):
    volume, _ = read_series(shared_data / "dicom" / "thorax-20-slices")
    field, found = outline(volume)
    assert field.volume_cm3(volume.grid) == pytest.approx(990, rel=0.03)
    assert found.any(axis=(1, 2)).all()
