"""What every instance that we make of a CT says alike: whose it is, what made it, when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import UID

from service.contouring.roi_items import MODEL_NAME
from service.contouring.set_texts import Replaced
from service.dicom.character_sets import character_set_of
from service.dicom.copied_attributes import acquisition_equipment, patient_and_study
from service.dicom.element_encoder import ElementEncoder, value_bytes
from service.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

if TYPE_CHECKING:
    import highdicom
    from pydicom import Dataset


class Equipment(Protocol):
    """What made an instance (PS3.3 C.7.5.1): the ``equipment`` of the configuration, or anything alike."""

    @property
    def manufacturer(self) -> str:
        """Manufacturer (0008,0070)."""

    @property
    def station_name(self) -> str:
        """StationName (0008,1010)."""

    @property
    def institution_name(self) -> str | None:
        """InstitutionName (0008,0080)."""

    @property
    def device_serial_number(self) -> str:
        """DeviceSerialNumber (0018,1000)."""


@dataclass(frozen=True, slots=True, repr=False)
class Authorship:
    """Who makes an instance, when, and under which UIDs.

    Attributes:
        sop_instance_uid, series_instance_uid: fixed before anything is sent, so that a repeat is the same
            instance (``derived_uid``).
        made_at: with the site's time zone.
        label: of the protocol, at most 16 characters.
        equipment: what the configuration calls this node.
        software_version: of this program.
        series_description: if absent, the label and the model.
        replaces: the set that this one takes the place of.
        notes: sentences about the CT that people must read.
    """

    sop_instance_uid: str
    series_instance_uid: str
    made_at: datetime
    label: str
    equipment: Equipment
    software_version: str
    series_description: str | None = None
    replaces: Replaced | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.made_at.tzinfo is None:
            message = "made_at has no time zone"
            raise ValueError(message)


def copy_patient_and_study(made: highdicom.SOPClass, header: Dataset, encoder: ElementEncoder) -> None:
    """What the CT says of patient, study and frame of reference, byte for byte, and its character set.

    ``made`` is encoded as ``encoder`` encodes: its raw elements are then written untouched.
    """
    for element in patient_and_study(header, encoder):
        made[element.tag] = element
    if "PositionReferenceIndicator" not in made:
        made.PositionReferenceIndicator = ""
    made.set_original_encoding(not encoder.explicit, True, made._character_set)


def add_equipment(
    made: highdicom.SOPClass,
    header: Dataset,
    authorship: Authorship,
    models: Sequence[str],
    encoder: ElementEncoder,
) -> None:
    """General Equipment (PS3.3 C.7.5.1), who acquired the CT, and the program that encoded this."""
    equipment = authorship.equipment
    fits = character_set_of(header).text
    made.Manufacturer = fits(equipment.manufacturer, 64)
    made.StationName = fits(equipment.station_name, 16)
    if equipment.institution_name:
        made.InstitutionName = fits(equipment.institution_name, 64)
    made.ManufacturerModelName = MODEL_NAME
    made.DeviceSerialNumber = fits(equipment.device_serial_number, 64)
    versions = [authorship.software_version, *models]
    made.add_new("SoftwareVersions", "LO", [fits(each, 64) for each in versions])
    acquired = acquisition_equipment(header, encoder)
    if acquired is not None:
        add_raw_sequence(made, 0x0018A001, acquired, encoder)
    made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    made.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME


def add_times(made: highdicom.SOPClass, header: Dataset, made_at: datetime, *what: str) -> None:
    """Dates and times of ``what`` in the site's zone.

    The offset from UTC holds for every time of an instance (PS3.3 C.12.1.1.8), those copied from the CT
    included: it is written only where the CT names the one that is also ours.
    """
    for each in what:
        setattr(made, f"{each}Date", made_at.strftime("%Y%m%d"))
        setattr(made, f"{each}Time", made_at.strftime("%H%M%S"))
    offset = value_bytes(header, "TimezoneOffsetFromUTC").decode("ascii", "replace")
    if offset == made_at.strftime("%z"):
        made.TimezoneOffsetFromUTC = offset


def add_raw_sequence(made: highdicom.SOPClass, tag: int, items: bytes, encoder: ElementEncoder) -> None:
    """A sequence whose items are encoded already."""
    made[Tag(tag)] = RawDataElement(Tag(tag), "SQ", len(items), items, 0, not encoder.explicit, True)
