"""A made-up patient whose every word can be recognised wherever it turns up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from analytic_bundle import small_ct
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import RTStructureSetStorage

from service.dicom.ct_writer import SyntheticPatient

UID_ROOT = "1.2.826.0.1.777000777"
BIRTH_DATE, STUDY_DATE = "19331224", "20190807"
STORAGE, SENDER_FOLDER = "CanaryStorage", "CanarySenderFolder"
PATIENT = SyntheticPatient(name="CanaryName^Phi", patient_id="CANARYID77", birth_date=BIRTH_DATE, sex="F")

WORDS = ("canary", BIRTH_DATE, "1933-12-24", STUDY_DATE, "2019-08-07", UID_ROOT)
"""Lower case. Everything that belongs to the patient, the CT, the folders of node and sender, or to the texts
of exceptions and peers holds one of them."""

MODEL_THAT_RAISES = """
    def segment(volume):
        raise ValueError("CanaryModel knows what it saw")
"""
MODEL_THAT_ABORTS = """
    import os
    def segment(volume):
        os.abort()
"""


def canaries_in(text: str) -> list[str]:
    """Lines that hold one of the words."""
    return [line for line in text.splitlines() if any(word in line.lower() for word in WORDS)]


def uid(*parts: object) -> str:
    """A UID that can be told from all others."""
    return ".".join([UID_ROOT, *map(str, parts)])


def unchanged(_k: int, ds: Dataset) -> Dataset | None:
    """Change nothing."""
    return ds


def canary_ct(
    folder: Path, seed: int, change: Callable[[int, Dataset], Dataset | None] = unchanged, **words: object
) -> list[Path]:
    """A small CT of the patient; ``uid(seed, 2)`` is its series."""

    def mark(k: int, ds: Dataset) -> Dataset | None:
        ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(seed, 1), uid(seed, 2)
        ds.SOPInstanceUID, ds.FrameOfReferenceUID = uid(seed, 3, k), uid(seed, 4)
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = STUDY_DATE
        ds.SeriesDescription, ds.AccessionNumber, ds.StudyID = "CanarySeries", "CANARYACC", "CANARYSTUDYID"
        ds.ReferringPhysicianName, ds.InstitutionName = "CanaryReferrer", "CanaryHouse"
        ds.ImageComments = ds.PatientComments = "CanaryComment"
        ds.StationName, ds.ProtocolName = "CanaryStation", "CanaryProtocol"
        return change(k, ds)

    return small_ct(
        folder / SENDER_FOLDER / str(seed), seed, patient=PATIENT,
        study_description="CanaryStudy pelvis", tweak=mark, **words,
    )  # fmt: skip


def replace_bytes(files: Sequence[Path], old: bytes, new: bytes) -> list[Path]:
    """Put bytes into files that no library would write."""
    assert len(old) == len(new)
    for file in files:
        content = file.read_bytes()
        assert old in content
        file.write_bytes(content.replace(old, new))
    return list(files)


class TalkativeTps:
    """Refuses every structure set, and says in the error comment whose it was."""

    def __init__(self, status: int) -> None:
        def store(event: evt.Event) -> Dataset:
            answer = Dataset()
            answer.Status = status
            answer.ErrorComment = f"CanaryError {event.dataset.PatientName}"
            answer.OffendingElement = [0x00100010]
            return answer

        ae = AE("TALKATIVE")
        ae.add_supported_context(RTStructureSetStorage)
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
        self.port = int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        self._server.shutdown()
