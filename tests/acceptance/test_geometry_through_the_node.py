"""From C-STORE to C-STORE without a network's errors: a model that knows the surfaces and sees only the grid."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from analytic_bundle import CENTRE, ON_ONE_SLICE, SPHERES, STRUCTURES, write_bundle
from running_node import ReceivingTps, running_node, send_ct

from models.volume import Grid
from service.dicom.ct_writer import uid_of, write_ct
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, stacked_grid


def grids() -> dict[str, Grid]:
    """The eight positions, one oblique and one whose spacing changes along the stack."""
    size = {"shape_zyx": (40, 96, 96), "spacing_zyx_mm": (3.0, 2.2, 2.2), "center_lps_mm": CENTRE}
    found = {position: patient_grid(position, **size) for position in ORIENTATIONS}
    yaw, roll = np.deg2rad(8.0), np.deg2rad(5.0)
    row = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    column = np.cross(np.array([np.sin(yaw) * np.sin(roll), -np.cos(yaw) * np.sin(roll), np.cos(roll)]), row)
    cosines = np.concatenate([row, column])
    evenly = np.arange(40) * 3.0
    blocks = np.concatenate([np.arange(20) * 2.5, 47.5 + np.arange(1, 16) * 5.0])
    plane = {"shape_yx": (96, 96), "spacing_yx_mm": (2.2, 2.2), "center_lps_mm": CENTRE}
    found["oblique"] = stacked_grid(cosines, evenly, **plane)
    found["non-uniform"] = stacked_grid(ORIENTATIONS["HFS"], blocks, **plane)
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pydicom.Dataset]:
    """Structure sets by case, made by one running node from ten series."""
    folder = tmp_path_factory.mktemp("geometry")
    write_bundle(folder / "bundles" / "analytic")
    tps = ReceivingTps()
    config = {
        "node": {"quiet_seconds": 0.3, "bundles": [str(folder / "bundles")], "minimum_slices": 3},
        "senders": {"CTSCANNER": None},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": tps.port}},
        "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
        "routes": [
            {
                "name": "all",
                "when": {"Modality": "CT"},
                "contour": "analytic",
                "send_to": ["tps"],
                "mode": "send",
            }
        ],
    }
    cases = grids()
    with running_node(folder, config) as node:
        for number, (case, grid) in enumerate(cases.items()):
            hu = np.full(grid.shape_zyx, 20, np.int16)
            position = case if case in ORIENTATIONS else "HFS"
            files = write_ct(folder / case, hu, grid, seed=number, patient_position=position)
            assert set(send_ct(files, node.port)) == {0}
        found = tps.wait_for(len(cases))
    tps.close()
    by_series = {
        str(
            ds.ReferencedFrameOfReferenceSequence[0]
            .RTReferencedStudySequence[0]
            .RTReferencedSeriesSequence[0]
            .SeriesInstanceUID
        ): ds
        for ds in found
    }
    return {case: by_series[uid_of(number, 2, "series")] for number, case in enumerate(cases)}


def contours(ds: pydicom.Dataset, name: str) -> list[tuple[str, np.ndarray]]:
    """(referenced SOP instance, points) of each contour of an ROI, read with pydicom alone."""
    number = next(roi.ROINumber for roi in ds.StructureSetROISequence if roi.ROIName == name)
    item = next(item for item in ds.ROIContourSequence if item.ReferencedROINumber == number)
    return [
        (
            str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID),
            np.array([float(v) for v in contour.ContourData]).reshape(-1, 3),
        )
        for contour in item.ContourSequence
    ]


@pytest.mark.slow
@pytest.mark.parametrize("case", list(grids()))
def test_surfaces_come_back_where_they_are(case: str, results: dict[str, pydicom.Dataset]) -> None:
    pixel_mm = 2.2
    for name, (centre, radius) in SPHERES.items():
        found = contours(results[case], name)
        deviation = np.abs(
            np.linalg.norm(np.vstack([points for _, points in found]) - centre, axis=1) - radius
        )
        assert deviation.mean() <= 0.05, (name, deviation.mean())
        assert deviation.max() <= 0.5 * pixel_mm, (name, deviation.max())


@pytest.mark.slow
@pytest.mark.parametrize("case", list(grids()))
def test_every_slice_that_a_sphere_meets_has_its_contour_on_its_own_image(
    case: str, results: dict[str, pydicom.Dataset]
) -> None:
    grid = grids()[case]
    number = list(grids()).index(case)
    for name, (centre, radius) in SPHERES.items():
        height = (grid.slice_origins_lps_mm - centre) @ grid.normal
        inner = {k for k in range(len(height)) if abs(height[k]) < radius - 1.0}
        outer = {k for k in range(len(height)) if abs(height[k]) < radius}
        uids = {uid_of(number, 2, k): k for k in range(len(height))}
        slices = set()
        for uid, points in contours(results[case], name):
            k = uids[uid]
            slices.add(k)
            off_plane = np.abs((points - grid.slice_origins_lps_mm[k]) @ grid.normal)
            assert off_plane.max() < 0.01
        assert inner <= slices <= outer


@pytest.mark.slow
@pytest.mark.parametrize("case", list(grids()))
def test_left_is_left(case: str, results: dict[str, pydicom.Dataset]) -> None:
    left = np.vstack([points for _, points in contours(results[case], "Femur_Head_L")]).mean(axis=0)
    right = np.vstack([points for _, points in contours(results[case], "Femur_Head_R")]).mean(axis=0)
    assert left[0] > right[0] + 100


@pytest.mark.slow
@pytest.mark.parametrize("case", list(grids()))
def test_one_structure_on_one_slice_survives(case: str, results: dict[str, pydicom.Dataset]) -> None:
    found = contours(results[case], ON_ONE_SLICE)
    assert len(found) == 1
