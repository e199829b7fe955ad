"""The picture shows the planes that cut the structures, with head up and the patient's left on the right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from service.command_line.preview import _busiest_plane, draw_preview
from service.dicom.patient_grids import patient_grid

GRID = patient_grid("HFS", shape_zyx=(20, 40, 50), spacing_zyx_mm=(3.0, 2.0, 2.0))


def box(z: slice, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros(GRID.shape_zyx, dtype=bool)
    mask[z, y, x] = True
    return mask


def test_the_plane_that_cuts_most_structures_is_chosen() -> None:
    masks = {
        "A": box(slice(2, 9), slice(5, 9), slice(5, 30)),
        "B": box(slice(8, 15), slice(8, 30), slice(20, 24)),
    }
    assert _busiest_plane(masks, 0) == 8
    assert _busiest_plane(masks, 1) == 8
    assert 20 <= _busiest_plane(masks, 2) < 24


def test_nothing_to_show_is_no_error() -> None:
    assert _busiest_plane({}, 0) == 0


def test_a_picture_of_three_planes_is_written(tmp_path: Path) -> None:
    import matplotlib.image

    hu = np.full(GRID.shape_zyx, -1000, np.int16)
    hu[:, 10:30, 10:40] = 40
    masks = {"Bladder": box(slice(5, 12), slice(15, 22), slice(20, 30)), "Nothing": box(*[slice(0, 0)] * 3)}
    file = tmp_path / "new" / "preview.png"
    draw_preview(file, hu, GRID, masks, {"Bladder": "#ff0000"}, "A title")
    picture = matplotlib.image.imread(file)
    height, width = picture.shape[:2]
    assert width > 2 * height
    red = (picture[..., 0] > 0.9) & (picture[..., 1] < 0.2) & (picture[..., 2] < 0.2)
    thirds = [red[:, k * width // 3 : (k + 1) * width // 3] for k in range(3)]
    assert all(third.any() for third in thirds)
