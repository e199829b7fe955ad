"""Encodes one frame as JPEG Lossless, Selection Value 1, with GDCM: the one syntax pydicom cannot write."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1


def compress_jpeg_lossless(ds: Dataset) -> None:
    """Replace a single-frame dataset's native PixelData by its JPEG Lossless encoding, in place.

    Raises:
        ValueError: GDCM would not encode it.
    """
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with tempfile.TemporaryDirectory() as folder:
        native = Path(folder) / "native.dcm"
        ds.save_as(native, enforce_file_format=True)
        ds.PixelData = encapsulate([_encode(native)])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1


def _encode(file: Path) -> bytes:
    """The frame of a file as one JPEG Lossless codestream.

    GDCM reads the file itself: an image made in Python and handed to it is freed twice and ends the process.
    """
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(file))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    message = "GDCM did not encode the frame as JPEG Lossless"
    if not reader.Read():
        raise ValueError(message)
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise ValueError(message)
    fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments()
    text = "".join(
        fragments.GetFragment(i).GetByteValue().GetBuffer() for i in range(fragments.GetNumberOfFragments())
    )
    return text.encode("utf-8", errors="surrogateescape")  # GDCM's Python binding hands bytes out as str
