"""One CT, and every object that a destination may get, by C-STORE to DCMTK, by STOW-RS to Orthanc, into a folder."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from analytic_bundle import STRUCTURES, small_ct, write_bundle
from dicomweb_servers import ORTHANC, PLUGIN, orthanc
from running_node import free_port, running_node, send_ct

from service.backlog.records import DeliveryState, JobState
from service.config.output_objects import ObjectKind

pytestmark = [pytest.mark.peer, pytest.mark.slow]
STORESCP = Path("/usr/bin/storescp")
DICOM = [kind.value for kind in ObjectKind if kind.sop_class_uid is not None]


def test_every_object_arrives_and_says_the_same(tmp_path: Path) -> None:
    for needed in (ORTHANC, PLUGIN, STORESCP):
        if not needed.exists():
            pytest.skip(f"{needed.name} is not installed")
    pytest.importorskip("matplotlib")
    for name in ("received", "export", "orthanc"):
        (tmp_path / name).mkdir()
    write_bundle(tmp_path / "bundles" / "analytic")
    (tmp_path / "password").write_text("secret\n")
    scp, port = free_port(), free_port()
    command = [STORESCP, "--promiscuous", "-aet", "TPS", "-od", tmp_path / "received", str(scp)]
    with (
        orthanc(tmp_path / "orthanc", "node", "secret") as archive,
        subprocess.Popen(command, stderr=subprocess.DEVNULL) as storescp,
    ):
        config = {
            "node": {"quiet_seconds": 1.0, "port": port, "bundles": [str(tmp_path / "bundles")]},
            "senders": {"CTSCANNER": None},
            "destinations": {
                "tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": scp, "objects": DICOM},
                "web": {
                    "dicomweb": {"url": archive.url, "user": "node", "password_file": str(tmp_path / "password")},
                    "objects": DICOM,
                },
                "export": {"folder": str(tmp_path / "export"), "objects": ["nifti", "nifti-structures", "rtstruct"]},
            },
            "protocols": {"analytic": {"model": "analytic@1.0", "structures": dict.fromkeys(STRUCTURES)}},
            "routes": [{"name": "all", "contour": "analytic", "send_to": ["tps", "web", "export"], "mode": "send"}],
        }  # fmt: skip
        files = small_ct(tmp_path / "ct", 1)
        try:
            with running_node(tmp_path, config) as node:
                send_ct(files, port)
                series = pydicom.dcmread(files[0]).SeriesInstanceUID
                job = node.wait_for_job(series, JobState.DONE, seconds=240)
                with node.ledger() as ledger:
                    deliveries = ledger.deliveries(job.id)
                told = node.command("show", job.id).stdout
        finally:
            storescp.terminate()
        assert {each.state for each in deliveries} == {DeliveryState.DELIVERED}
        assert Counter(each.destination for each in deliveries) == {"tps": 5, "web": 5, "export": 3}
        assert "tps, label map segmentation" in told
        by_kind = {(each.destination, each.kind.value): each.sop_instance_uid for each in deliveries}
        uids = {kind: by_kind["tps", kind] for kind in DICOM}
        assert {kind: by_kind["web", kind] for kind in DICOM} == uids, "one object, wherever it goes"
        got = [pydicom.dcmread(file) for file in (tmp_path / "received").iterdir()]
        assert {ds.SOPInstanceUID for ds in got} == set(uids.values())
        kept = [pydicom.dcmread(BytesIO(content)) for content in archive.files()]
        assert {ds.SOPInstanceUID for ds in kept} == set(uids.values())
    same_masks(kept, tmp_path / "export", job.id, uids)


def same_masks(kept: list[pydicom.Dataset], export: Path, job: str, uids: dict[str, str]) -> None:
    """What Orthanc gives back and what lies in the folder encloses the same voxels."""
    (found,) = [ds for ds in kept if ds.SOPInstanceUID == uids["segmentation"]]
    segmentation = highdicom.seg.Segmentation.from_dataset(found)
    volume = segmentation.get_volume(combine_segments=False).array
    said = json.loads((export / f"{job}-nifti-structures" / "structures.json").read_text())
    assert (export / f"{job}-rtstruct.dcm").is_file()
    assert (export / f"{job}-nifti" / "labels.nii.gz").is_file()
    numbers = {segmentation.get_segment_description(n).segment_label: n for n in segmentation.segment_numbers}
    for each in said["structures"]:
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(export / f"{job}-nifti-structures" / each["file"])))
        segment = volume[..., list(numbers).index(each["name"])]
        assert segment.sum() == mask.sum() > 0, each["name"]
        np.testing.assert_array_equal(np.count_nonzero(segment, axis=(1, 2))[np.any(segment, axis=(1, 2))],
                                      np.count_nonzero(mask, axis=(1, 2))[np.any(mask, axis=(1, 2))])  # fmt: skip
