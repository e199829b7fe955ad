"""What a new instance of a study repeats of an image of it, byte for byte: patient, study, equipment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from highdicom._standard_utils import get_module_attribute_map
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from service.dicom.element_encoder import ElementEncoder, tag_of, value_bytes

_MODULES: Final = (
    "patient",
    "clinical-trial-subject",
    "general-study",
    "patient-study",
    "clinical-trial-study",
)
"""Modules of the Patient and Study information entities (PS3.3 Table A.19.3-1)."""

_ALSO: Final = ("SpecificCharacterSet", "FrameOfReferenceUID", "PositionReferenceIndicator")

_EQUIPMENT: Final = (
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)


def patient_and_study(header: Dataset, encoder: ElementEncoder) -> Iterator[RawDataElement]:
    """The elements of patient, study and frame of reference that ``header`` has, and its character set."""
    modules = get_module_attribute_map()
    keywords = [
        attribute["keyword"] for module in _MODULES for attribute in modules[module] if not attribute["path"]
    ]
    for keyword in (*_ALSO, *keywords):
        element = encoder.copied(header, tag_of(keyword))
        if element is not None:
            yield element


def acquisition_equipment(header: Dataset, encoder: ElementEncoder) -> bytes | None:
    """An item of the Contributing Equipment Sequence (PS3.3 C.12.1) for what made the image, if named."""
    if not value_bytes(header, "Manufacturer"):
        return None
    purpose = encoder.item(
        encoder.element(0x00080100, "SH", "109101"),
        encoder.element(0x00080102, "SH", "DCM"),
        encoder.element(0x00080104, "LO", "Acquisition Equipment"),
    )
    copies = [copy for keyword in _EQUIPMENT if (copy := encoder.copied(header, tag_of(keyword)))]
    return encoder.item(
        *(encoder.element(copy.tag, str(copy.VR), copy.value or b"") for copy in copies),
        encoder.sequence(0x0040A170, [purpose]),
    )
