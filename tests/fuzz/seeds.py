"""What fuzzing starts from: instances of synthetic patients in every encoding that is taken."""

from __future__ import annotations

import io
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bare_sender import Peer
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    RTStructureSetStorage,
)

from service.arrival.instance import Claim, Origin
from service.arrival.spooled_series import file_header
from service.dicom.ct_writer import file_meta, uid_of, write_ct
from service.dicom.enhanced_ct_writer import write_enhanced_ct
from service.dicom.patient_grids import patient_grid
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES

GRID = patient_grid(shape_zyx=(5, 32, 40))
HU = np.random.default_rng(0).integers(-1000, 2000, GRID.shape_zyx).astype(np.int16)
CHANGED_SLICE = 2
SYNTAXES = tuple(TRANSFER_SYNTAXES)


@dataclass(frozen=True)
class Seed:
    """An encoded data set as a sender would send it, with what its association says of it."""

    name: str
    sop_class_uid: str
    transfer_syntax_uid: str
    data: bytes
    sop_instance_uid: str

    @classmethod
    def of(cls, name: str, file: bytes, syntax: str) -> Seed:
        """The data set of a Part 10 file."""
        ds = dcmread(io.BytesIO(file), stop_before_pixels=True)
        return cls(name, str(ds.SOPClassUID), syntax, data_set_of(file), str(ds.SOPInstanceUID))

    def as_file(self) -> bytes:
        """The Part 10 file that the node makes of it."""
        claim = Claim(self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid)
        return file_header(claim, Origin("ECLIPSE", "DELINEATE", "127.0.0.1")) + self.data


def data_set_of(file: bytes) -> bytes:
    """What follows the File Meta Information of a Part 10 file (PS3.10 section 7.1)."""
    (length,) = struct.unpack_from("<L", file, 140)
    return file[144 + length :]


def siblings(folder: Path) -> list[Path]:
    """The other slices of the series that the seeds belong to."""
    files = write_ct(folder / "siblings", HU, GRID)
    return [file for k, file in enumerate(files) if k != CHANGED_SLICE]


def structure_set() -> Dataset:
    """A small RT Structure Set of one closed contour."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, uid_of("fuzz", "set")
    ds.Modality, ds.PatientName, ds.PatientID = "RTSTRUCT", "Phantom^Synthetic", "SYN001"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of("fuzz", "study"), uid_of("fuzz", "sets")
    roi = Dataset()
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "Bladder", uid_of("fuzz", "frame")
    ds.StructureSetROISequence = [roi]
    image, contour, drawn = Dataset(), Dataset(), Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid_of("image")
    contour.ContourImageSequence, contour.ContourGeometricType = [image], "CLOSED_PLANAR"
    contour.NumberOfContourPoints, contour.ContourData = 3, [0, 0, 0, 10, 0, 0, 0, 10, 0]
    drawn.ReferencedROINumber, drawn.ROIDisplayColor, drawn.ContourSequence = 1, [255, 0, 0], [contour]
    ds.ROIContourSequence = [drawn]
    return ds


def make_seeds(folder: Path) -> list[Seed]:
    """One slice in each transfer syntax, an Enhanced CT and an RT Structure Set."""
    made = []
    for number, syntax in enumerate(SYNTAXES):
        # A stream of the one JPEG Lossless is one of the other.
        encoder = JPEGLosslessSV1 if syntax == JPEGLossless else syntax
        file = write_ct(folder / str(number), HU, GRID, transfer_syntax=encoder)[CHANGED_SLICE]
        made.append(Seed.of(TRANSFER_SYNTAXES[syntax].name, file.read_bytes(), syntax))
    enhanced = write_enhanced_ct(folder / "enhanced.dcm", HU, GRID)
    made.append(Seed.of("enhanced", enhanced.read_bytes(), ExplicitVRLittleEndian))
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        ds, stream = structure_set(), io.BytesIO()
        ds.file_meta = file_meta(ds, syntax)
        ds.save_as(stream, enforce_file_format=True)
        made.append(Seed.of("structure set", stream.getvalue(), syntax))
    return made


def conversation_of(seed: Seed) -> bytes:
    """An association that stores the seed, as bytes from its request to its release."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer(connection=ours)
        peer.request(contexts={1: (seed.sop_class_uid, [seed.transfer_syntax_uid])})
        peer.send(peer.store_request(seed.sop_instance_uid, sop_class=seed.sop_class_uid))
        peer.send(peer.p_data(1, 2, seed.data))
        peer.send(struct.pack(">BBLL", 5, 0, 4, 0))
        ours.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: theirs.recv(1 << 16), b""))
