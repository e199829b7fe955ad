import numpy as np
import pytest

from models.chance import Chance
from models.synthetic_ct.field_of_view import FieldOfView


def test_voxels_fill_the_box_about_its_middle():
    heads = np.array([5.0, -3.0, -400.0])
    view = FieldOfView((-100.0, -60.0, -30.0), (100.0, 80.0, 90.0))
    grid = view.grid(2.0, 3.0, heads)
    assert grid.shape_zyx == (40, 70, 100)
    first, last = grid.slice_origins_lps_mm[0], grid.slice_origins_lps_mm[-1]
    assert first == pytest.approx(heads - (99, 59, 28.5))  # half a voxel inside the corner
    assert last[2] == pytest.approx(heads[2] + 88.5)
    assert (grid.column_spacing_mm, grid.row_spacing_mm) == (2.0, 2.0)
    assert grid.normal == pytest.approx([0, 0, 1])


def test_beyond_the_circle_nothing_is_shown():
    view = FieldOfView((-100.0, -100.0, 0.0), (100.0, 100.0, 10.0), circle_mm=80.0)
    outside = view.outside(view.grid(1.0, 5.0, np.zeros(3)))
    assert (~outside).sum() == pytest.approx(np.pi * 80**2, rel=0.005)
    assert not FieldOfView().outside(FieldOfView().grid(10.0, 10.0, np.zeros(3))).any()


def test_most_scans_show_the_pelvis_and_some_are_cut_short():
    drawn = [FieldOfView.drawn(Chance.of(1, n)) for n in range(300)]
    low, high = (np.array([getattr(v, name) for v in drawn]) for name in ("low_mm", "high_mm"))
    assert 0.05 < (low[:, 2] > -70).mean() < 0.16
    assert 0.05 < (high[:, 2] < 145).mean() < 0.16
    assert 0.08 < (high[:, 0] < 239).mean() < 0.25
    assert (low[:, 0] == -high[:, 0]).all()
    assert 0.15 < np.mean([v.circle_mm is not None for v in drawn]) < 0.35
    assert (high - low).min() > 100 - 1
