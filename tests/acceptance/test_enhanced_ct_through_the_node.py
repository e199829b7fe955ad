"""One multi-frame CT in, one structure set out: every contour names the frame that it lies on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from analytic_bundle import CENTRE, STRUCTURES, write_bundle
from pydicom.uid import EnhancedCTImageStorage
from pynetdicom import AE
from running_node import ReceivingTps, running_node

from service.dicom.enhanced_ct_writer import write_enhanced_ct
from service.dicom.patient_grids import patient_grid

ORDER = [7, 0, 11, 3, 9, 1, 5, 10, 2, 8, 4, 6]


@pytest.mark.slow
def test_every_contour_refers_to_its_own_frame(tmp_path: Path) -> None:
    grid = patient_grid(shape_zyx=(12, 48, 48), spacing_zyx_mm=(5.0, 5.0, 5.0), center_lps_mm=CENTRE)
    file = write_enhanced_ct(
        tmp_path / "ct" / "enhanced.dcm", np.full(grid.shape_zyx, 20, np.int16), grid, order=ORDER
    )
    write_bundle(tmp_path / "bundles" / "analytic")
    tps = ReceivingTps()
    config = {
        "node": {"quiet_seconds": 0.3, "bundles": [str(tmp_path / "bundles")], "enhanced_ct": True},
        "senders": {"CTSCANNER": None},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": tps.port}},
        "protocols": {"all": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
        "routes": [
            {"name": "all", "when": {"Modality": "CT"}, "contour": "all", "send_to": ["tps"], "mode": "send"}
        ],
    }
    ct = pydicom.dcmread(file)
    with running_node(tmp_path, config) as node:
        ae = AE("CTSCANNER")
        ae.add_requested_context(EnhancedCTImageStorage, ct.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", node.port, ae_title="DELINEATE")
        assert association.send_c_store(ct).Status == 0
        association.release()
        (structure_set,) = tps.wait_for(1)
    tps.close()
    frames = [
        float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        for frame in ct.PerFrameFunctionalGroupsSequence
    ]
    contours = [c for item in structure_set.ROIContourSequence for c in item.ContourSequence]
    assert len(contours) > 12
    for contour in contours:
        (image,) = contour.ContourImageSequence
        assert image.ReferencedSOPInstanceUID == ct.SOPInstanceUID
        height = {round(float(z), 3) for z in contour.ContourData[2::3]}
        assert height == {round(frames[int(image.ReferencedFrameNumber) - 1], 3)}
