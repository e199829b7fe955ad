"""The shipped pelvic model through the whole node: the same patient in another position gives the same answer.

Each axis is turned round and two are exchanged. All eight positions go through the node in
``test_geometry_through_the_node``, and through a network in ``tests/models/test_predictor.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from running_node import ReceivingTps, running_node, send_ct

from models.synthetic_ct.phantoms.phantom import Part, pelvic_phantom
from service.contouring.ct_series import CtSeries
from service.dicom.ct_writer import uid_of, write_ct
from service.dicom.patient_grids import patient_grid
from service.dicom.structure_set_reader import read_masks

SEED = 900_002
STRUCTURES = (
    "Bladder", "Rectum", "Bowel_Small", "Colon", "Femur_Head_L", "Femur_Head_R", "Bone_Pelvic_L", "Bone_Pelvic_R",
    "Sacrum", "Spine",
)  # fmt: skip
POSITIONS = ("HFS", "FFP", "HFDL", "FFDR")
SHAPE, SPACING_MM = (84, 128, 128), (4.0, 3.6, 3.6)

Masks = dict[str, NDArray[np.bool_]]


def dsc(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2.0 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Masks, Masks]]:
    """(what came back, the phantom's truth) on each position's own grid."""
    folder = tmp_path_factory.mktemp("positions")
    patient = pelvic_phantom(SEED)
    low, high = (patient.grid(Part.PELVIS).slice_origins_lps_mm[k] for k in (0, -1))
    centre = patient.origin_lps_mm.copy()
    centre[2] = (low[2] + high[2]) / 2
    tps = ReceivingTps()
    config = {
        "node": {"quiet_seconds": 0.5},
        "senders": {"CTSCANNER": None},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": tps.port}},
        "protocols": {
            "pelvis": {
                "model": "pelvis-ct@2.0",
                "allow_unvalidated": True,
                "structures": {name: None for name in STRUCTURES},
            }
        },
        "routes": [
            {
                "name": "all",
                "when": {"Modality": "CT"},
                "contour": "pelvis",
                "send_to": ["tps"],
                "mode": "send",
            }
        ],
    }
    truths, series = {}, {}
    with running_node(folder, config) as node:
        for number, position in enumerate(POSITIONS):
            grid = patient_grid(position, shape_zyx=SHAPE, spacing_zyx_mm=SPACING_MM, center_lps_mm=centre)
            # No noise: it would differ from position to position, and this compares positions.
            sample = patient.sample(grid, noise=False)
            files = write_ct(folder / position, sample.hu, grid, seed=number, patient_position=position)
            truths[position] = sample.truth()
            series[position] = CtSeries.read(files)
            assert set(send_ct(files, node.port)) == {0}
        tps.wait_for(len(POSITIONS), 400)
    tps.close()
    found = {}
    for number, position in enumerate(POSITIONS):
        slices = [(each.sop_instance_uid, each.frame_number) for each in series[position].references]
        encoded = next(data for data in tps.received.values() if uid_of(number, 2, "series").encode() in data)
        found[position] = (read_masks(encoded, series[position].grid, slices), truths[position])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("position", POSITIONS[1:])
def test_every_structure_is_as_good_as_in_hfs(position: str, results: dict[str, tuple[Masks, Masks]]) -> None:
    found, truth = results[position]
    reference, reference_truth = results["HFS"]
    assert set(found) == set(reference)
    for name in reference:
        assert dsc(found[name], truth[name]) == pytest.approx(
            dsc(reference[name], reference_truth[name]), abs=0.02
        ), name


@pytest.mark.slow
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("pair", [("Femur_Head_L", "Femur_Head_R"), ("Bone_Pelvic_L", "Bone_Pelvic_R")])
def test_left_is_left(position: str, pair: tuple[str, str], results: dict[str, tuple[Masks, Masks]]) -> None:
    found, truth = results[position]
    for name, other in (pair, pair[::-1]):
        assert dsc(found[name], truth[name]) > 0.7
        assert dsc(found[name], truth[other]) < 0.05
