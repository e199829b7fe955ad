"""Pixel centres within polygons: exact, and as an independent library counts them."""

from __future__ import annotations

import numpy as np
import pytest

from service.dicom.polygon_filling import rasterise


def test_a_polygon_between_pixel_centres_holds_none():
    assert not rasterise([np.array([(1.2, 1.2), (1.8, 1.2), (1.8, 1.8)])], 5, 5).any()


@pytest.mark.parametrize("seed", range(10))
def test_rasterising_agrees_with_counting_crossings_one_by_one(seed):
    from shapely import Point, Polygon

    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 23))
    radii = rng.uniform(3, 9, 23)
    polygon = np.stack([12 + radii * np.cos(angles), 10 + radii * np.sin(angles)], axis=1)
    inside = rasterise([polygon], 20, 25)
    shape = Polygon(polygon)
    assert all(shape.contains(Point(c, r)) == inside[r, c] for r in range(20) for c in range(25))
