"""Real CT, real peers: DCMTK and Orthanc send to the running node and take the structure sets back."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
from running_node import ReceivingTps, running_node

from service.contouring.ct_series import CtSeries
from service.dicom.structure_set_reader import read_masks

STORESCU, STORESCP, ORTHANC = "/usr/bin/storescu", "/usr/bin/storescp", "/usr/sbin/Orthanc"
PROMPT = {**os.environ, "TCP_NODELAY": "1"}
BREAST, THORAX = "breast-98-slices-jpeg2000", "thorax-20-slices"
PELVIC = ("Bladder", "Rectum", "Bowel_Small", "Colon", "Femur_Head_L", "Femur_Head_R", "Sacrum")

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.shared_data]


def need(*programs: str) -> None:
    for program in programs:
        if not Path(program).exists():
            pytest.skip(f"{program} is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def by_class(folder: Path) -> dict[str, list[Path]]:
    """Files of a folder by modality."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        modality = str(pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["Modality"]).Modality)
        found.setdefault(modality, []).append(file)
    return found


def config(port: int, protocols: tuple[str, ...], ae_title: str = "TPS") -> dict:
    return {
        "node": {"quiet_seconds": 2.0},
        "senders": {"STORESCU": None, "ORTHANC": None},
        "destinations": {"tps": {"ae_title": ae_title, "host": "127.0.0.1", "port": port}},
        "protocols": {
            "external": {"model": "external@1.0", "structures": {"External": None}},
            "pelvis": {
                "model": "pelvis-ct@2.0",
                "allow_unvalidated": True,
                "structures": {name: None for name in PELVIC},
            },
        },
        "routes": [
            {
                "name": "all",
                "when": {"Modality": "CT"},
                "contour": list(protocols),
                "send_to": ["tps"],
                "mode": "send",
            }
        ],
    }


def send_with_dcmtk(files: list[Path], port: int, *options: str) -> None:
    subprocess.run(
        [
            STORESCU,
            "-aet",
            "STORESCU",
            "-aec",
            "DELINEATE",
            *options,
            "127.0.0.1",
            str(port),
            *map(str, files),
        ],
        check=True,
        env=PROMPT,
        timeout=120,
    )


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """DCMTK's Storage SCP, writing to ``folder``."""
    folder.mkdir()
    port = free_port()
    process = subprocess.Popen([STORESCP, "-aet", "TPS", "-od", str(folder), str(port)], env=PROMPT)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def wait_for_file(folder: Path, seconds: float) -> Path:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        files = sorted(folder.iterdir())
        if files:
            time.sleep(1.0)  # storescp writes in place
            return files[0]
        time.sleep(0.1)
    message = f"nothing arrived in {seconds} s"
    raise TimeoutError(message)


def test_dcmtk_sends_a_breast_ct_and_its_external_agrees_with_the_clinical_body(
    shared_data: Path, tmp_path: Path
) -> None:
    need(STORESCU, STORESCP)
    files = by_class(shared_data / "dicom" / BREAST)
    with storescp(tmp_path / "received") as port:
        with running_node(tmp_path, config(port, ("external",))) as node:
            # Sent as it lies there, JPEG 2000: the proposal names that syntax.
            send_with_dcmtk(files["CT"], node.port, "-xw")
            received = wait_for_file(tmp_path / "received", 120)
    series = CtSeries.read(files["CT"])
    slices = [(each.sop_instance_uid, each.frame_number) for each in series.references]
    ours = read_masks(received, series.grid, slices)["External"]
    clinical = read_masks(files["RTSTRUCT"][0], series.grid, slices)["BODY"]
    dsc = 2 * np.count_nonzero(ours & clinical) / (np.count_nonzero(ours) + np.count_nonzero(clinical))
    assert dsc >= 0.99
    ds = pydicom.dcmread(received)
    positions = {each.sop_instance_uid: each.position_lps_mm[2] for each in series.references}
    contours = [c for item in ds.ROIContourSequence for c in item.ContourSequence]
    assert {str(c.ContourImageSequence[0].ReferencedSOPInstanceUID) for c in contours} == set(positions)
    for contour in contours:
        own = positions[str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)]
        assert {round(float(z), 3) for z in contour.ContourData[2::3]} == {round(own, 3)}


def test_orthanc_forwards_a_ct_and_shows_the_structure_set_under_the_same_study(
    shared_data: Path, tmp_path: Path
) -> None:
    need(ORTHANC)
    files = by_class(shared_data / "dicom" / BREAST)["CT"]
    http, dicom = free_port(), free_port()
    with running_node(tmp_path, config(dicom, ("external",), "ORTHANC")) as node:
        with orthanc(tmp_path / "orthanc", http, dicom, node.port) as ask:
            for file in files:
                ask("instances", file.read_bytes())
            series = ask(f"series/{ask('series')[0]}")
            ask("modalities/node/store", json.dumps(series["ID"]).encode())
            deadline = time.monotonic() + 180
            sets = []
            while not sets and time.monotonic() < deadline:
                time.sleep(0.5)
                every = [ask(f"series/{each}") for each in ask("series")]
                sets = [each for each in every if each["MainDicomTags"]["Modality"] == "RTSTRUCT"]
            assert len(sets) == 1
            assert sets[0]["ParentStudy"] == series["ParentStudy"]
            (instance,) = sets[0]["Instances"]
            tags = ask(f"instances/{instance}/simplified-tags")
            study = tags["ReferencedFrameOfReferenceSequence"][0]["RTReferencedStudySequence"][0]
            assert len(study["RTReferencedSeriesSequence"][0]["ContourImageSequence"]) == 98
            assert tags["ApprovalStatus"] == "UNAPPROVED"
            # Orthanc forwards what it gets back to nobody, and the node takes no structure set for a CT.
            time.sleep(3)
            assert len(node.events("contour.started")) == 1


@contextmanager
def orthanc(folder: Path, http: int, dicom: int, node: int) -> Iterator[object]:
    """Orthanc on free loopback ports; yields a function that asks its REST interface."""
    folder.mkdir()
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "db"),
                "IndexDirectory": str(folder / "db"),
                "HttpPort": http,
                "HttpBindAddresses": ["127.0.0.1"],
                "DicomPort": dicom,
                "DicomAet": "ORTHANC",
                "DicomAlwaysAllowStore": True,
                "DicomModalities": {"node": ["DELINEATE", "127.0.0.1", node]},
                "AuthenticationEnabled": False,
                "RemoteAccessAllowed": False,
            }
        )
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [ORTHANC, str(folder / "orthanc.json")], env=PROMPT, stdout=log, stderr=log
        )

    def ask(path: str, body: bytes | None = None) -> object:
        request = urllib.request.Request(f"http://127.0.0.1:{http}/{path}", data=body)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                ask("system")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield ask
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder / "db", ignore_errors=True)


def test_a_thorax_gets_its_external_and_is_told_that_it_has_no_pelvis(
    shared_data: Path, tmp_path: Path
) -> None:
    need(STORESCU)
    files = by_class(shared_data / "dicom" / THORAX)["CT"]
    tps = ReceivingTps()
    with running_node(tmp_path, config(tps.port, ("external", "pelvis"))) as node:
        send_with_dcmtk(files, node.port)
        (structure_set,) = tps.wait_for(1)
        deadline = time.monotonic() + 60
        while not node.events("contour.ended") and time.monotonic() < deadline:
            time.sleep(0.2)
        (ended,) = node.events("contour.ended")
        shown = node.command("show", ended["job"]).stdout
    tps.close()
    assert [roi.ROIName for roi in structure_set.StructureSetROISequence] == ["External"]
    assert ended["state"] == "refused"
    assert "pelvis" in ended["code"]
    assert "pelvis" in shown.lower()
