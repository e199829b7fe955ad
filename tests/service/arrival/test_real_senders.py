"""Senders that people have: DCMTK's tools and pynetdicom's SCU, in every transfer syntax that is taken."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE

from models.volume import Grid
from service.dicom.ct_writer import write_ct

CT = "1.2.840.10008.5.1.4.1.1.2"
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEGLosslessSV1,
    RLELossless,
]


def dcmtk(tool: str, port: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [f"/usr/bin/{tool}", "-v", "-aet", "ECLIPSE", "-aec", "DELINEATE", *map(str, arguments)]
    host = command.index("--") if "--" in command else len(command)
    command[host : host + 1] = ["127.0.0.1", str(port)]
    return subprocess.run(
        command,
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def ct_files(tmp_path):
    """Write a small CT in a transfer syntax."""

    def write(syntax=ExplicitVRLittleEndian, slices=3, seed=0):
        grid = Grid(
            np.array([[-16.0, -16.0, 3.0 * k] for k in range(slices)]),
            np.array([1.0, 0, 0]),
            np.array([0, 1.0, 0]),
            32,
            32,
        )
        hu = np.random.default_rng(seed).integers(-1000, 1000, grid.shape_zyx).astype(np.int16)
        return write_ct(tmp_path / f"ct{seed}", hu, grid, seed=seed, transfer_syntax=syntax)

    return write


@pytest.mark.peer
def test_dcmtk_verifies_the_node(start_scp):
    assert dcmtk("echoscu", start_scp().port, "--").returncode == 0


@pytest.mark.peer
def test_dcmtk_sends_a_series_which_lies_in_the_spool_as_it_was(start_scp, ct_files, eventually):
    running, sent = start_scp(), ct_files(slices=20)
    outcome = dcmtk("storescu", running.port, "-R", "--", *sent)
    assert outcome.returncode == 0, outcome.stderr
    eventually(lambda: running.heard.ends == [(1, True)])
    assert len(running.heard.arrived_) == 20
    stored = {
        found.SOPInstanceUID: found for found in map(pydicom.dcmread, running.spool.incoming.glob("*/*.dcm"))
    }
    for file in sent:
        original = pydicom.dcmread(file)
        assert stored[original.SOPInstanceUID] == original


@pytest.mark.peer
def test_four_dcmtk_senders_at_once_lose_nothing(start_scp, ct_files):
    running = start_scp()
    series = [ct_files(slices=10, seed=seed) for seed in range(4)]
    outcomes: list[int] = []

    def send(files: list[Path]) -> None:
        outcomes.append(dcmtk("storescu", running.port, "-R", "--", *files).returncode)

    threads = [threading.Thread(target=send, args=(files,)) for files in series]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [0, 0, 0, 0]
    assert len(list(running.spool.incoming.glob("*/*.dcm"))) == 40


@pytest.mark.peer
def test_dcmtk_is_told_why_it_is_rejected(start_scp):
    outcome = dcmtk("echoscu", start_scp(senders={}).port, "--")
    assert outcome.returncode != 0
    assert "Calling AE Title Not Recognized" in outcome.stderr


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_every_syntax_is_kept_as_it_was_sent(start_scp, ct_files, syntax):
    running, sent = start_scp(), ct_files(syntax, slices=1)
    ae = AE("ECLIPSE")
    ae.add_requested_context(CT, syntax)
    association = ae.associate("127.0.0.1", running.port, ae_title="DELINEATE")
    assert association.is_established
    status = association.send_c_store(sent[0])
    association.release()
    assert status.Status == 0x0000
    (file,) = running.spool.incoming.glob("*/*.dcm")
    stored, original = pydicom.dcmread(file), pydicom.dcmread(sent[0])
    assert stored.file_meta.TransferSyntaxUID == syntax
    assert stored == original


def test_a_sender_hears_why_an_instance_was_refused(start_scp, make_ct):
    running = start_scp()
    ds = make_ct(Modality="MR")
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ae = AE("ECLIPSE")
    ae.add_requested_context(CT, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", running.port, ae_title="DELINEATE")
    status = association.send_c_store(ds)
    association.release()
    assert (status.Status, status.ErrorComment) == (0xA900, "instance.modality-differs")


@pytest.mark.peer
@pytest.mark.shared_data
def test_a_real_ct_compressed_with_jpeg_2000_is_kept_as_it_was_sent(start_scp, shared_data, eventually):
    folder = shared_data / "dicom" / "breast-98-slices-jpeg2000"
    sent = [
        file
        for file in sorted(folder.iterdir())
        if pydicom.dcmread(file, specific_tags=["Modality"]).Modality == "CT"
    ]
    running = start_scp()
    outcome = dcmtk("storescu", running.port, "-R", "-xw", "--", *sent)
    assert outcome.returncode == 0, outcome.stderr
    eventually(lambda: running.heard.ends == [(1, True)])
    assert len(running.heard.arrived_) == len(sent) == 98
    assert {instance.transfer_syntax_uid for _, instance, _ in running.heard.arrived_} == {JPEG2000}


@pytest.mark.peer
@pytest.mark.shared_data
def test_an_export_that_carries_a_plan_and_a_structure_set_arrives_whole(start_scp, shared_data, eventually):
    folder = shared_data / "dicom" / "breast-98-slices-jpeg2000"
    sent = [file for file in sorted(folder.iterdir()) if file.is_file()]
    running = start_scp(accept_and_discard=["RTPlanStorage"])
    outcome = dcmtk("storescu", running.port, "-R", "-xw", "--", *sent)
    assert outcome.returncode == 0, outcome.stderr
    eventually(lambda: running.heard.ends == [(1, True)])
    assert len(running.heard.arrived_) == 98
    assert len(list(running.spool.structure_sets.glob("*.dcm"))) == 1
    assert list(running.scp.discarded.values()) == [1]
