"""The demonstration leaves what the README promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

PELVIC = {
    "Bladder", "Rectum", "Bowel_Small", "Colon", "Femur_Head_L", "Femur_Head_R", "Bone_Pelvic_L", "Bone_Pelvic_R",
    "Sacrum", "Spine", "SpinalCanal",
}  # fmt: skip


@pytest.mark.slow
def test_a_phantom_goes_in_and_a_structure_set_a_picture_and_a_report_come_out(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    run = subprocess.run(
        [sys.executable, "-P", "-m", "service", "demo", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    report = json.loads((out / "report.json").read_text())
    structures = {each["name"]: each for each in report["structures"]}
    assert set(structures) == PELVIC | {"External"}
    assert structures["External"]["dsc"] is None  # the phantom has no truth for it
    for name in PELVIC:
        assert structures[name]["dsc"] > 0.5, name
        assert structures[name]["volume_cm3"] > 10, name
    assert {"send_ct", "until_received", "contour", "deliver"} <= set(report["seconds"])
    written = pydicom.dcmread(out / "rtstruct.dcm")
    assert {roi.ROIName for roi in written.StructureSetROISequence} == PELVIC
    assert written.ApprovalStatus == "UNAPPROVED"
    assert (out / "preview.png").read_bytes().startswith(b"\x89PNG")
    assert "Bladder" in run.stdout
