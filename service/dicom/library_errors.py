"""What DICOM libraries raise for bytes that are no DICOM, or not what their headers say."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from pydicom.errors import BytesLengthException, InvalidDicomError

LIBRARY_ERRORS: Final = (
    InvalidDicomError,
    BytesLengthException,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""Their texts may quote a patient. OSError without ``errno`` is pydicom's own, for sequences without end;
RuntimeError is for what is nested too deep, or of a value representation that nobody knows."""
