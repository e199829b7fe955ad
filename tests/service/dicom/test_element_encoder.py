from __future__ import annotations

from io import BytesIO

import pydicom
import pytest
from highdicom._standard_utils import get_module_attribute_map
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset

from service.dicom.copied_attributes import MODULES, acquisition_equipment, patient_and_study
from service.dicom.element_encoder import ElementEncoder, tag_of, value_bytes

SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "big endian": "1.2.840.10008.1.2.2",
}


def read_again(ds: Dataset, syntax: str) -> Dataset:
    """The data set as it comes back from a file of this syntax, nothing parsed yet."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3", "1.2.4"
    buffer = BytesIO()
    dcmwrite(
        buffer,
        ds,
        implicit_vr=syntax == "implicit",
        little_endian=syntax != "big endian",
        enforce_file_format=True,
    )
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def patient() -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.PregnancyStatus = "Müller^Åsa", "P1", 4
    ds.OtherPatientIDsSequence = [Dataset(), Dataset()]
    for number, item in enumerate(ds.OtherPatientIDsSequence):
        item.PatientID = f"OLD{number}"
        item.IssuerOfPatientIDQualifiersSequence = [Dataset()]
        item.IssuerOfPatientIDQualifiersSequence[0].UniversalEntityID = "Küste"
    ds.Manufacturer, ds.InstitutionName = "Maker", "Spital Zürich"
    return ds


@pytest.mark.parametrize("explicit", [False, True])
def test_what_is_encoded_reads_as_what_was_meant(explicit):
    encode = ElementEncoder(explicit)
    item = encode.item(encode.element(0x00081155, "UI", "1.2.3"), encode.element(0x00100020, "LO", "odd"))
    data = encode.element(0x00080060, "CS", "CT") + encode.sequence(0x00101002, [item, item])
    ds = read_dataset(BytesIO(data), is_implicit_VR=not explicit, is_little_endian=True)
    assert ds.Modality == "CT"
    assert [item.PatientID for item in ds.OtherPatientIDsSequence] == ["odd", "odd"]
    assert ds.OtherPatientIDsSequence[0].ReferencedSOPInstanceUID == "1.2.3"


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_copies_keep_their_bytes_whatever_the_source_was_encoded_in(syntax, explicit):
    source = read_again(patient(), syntax)
    copy = Dataset()
    for element in patient_and_study(source, ElementEncoder(explicit)):
        copy[element.tag] = element
    copy.set_original_encoding(not explicit, True, "ISO_IR 100")
    copy = read_again(copy, "explicit" if explicit else "implicit")
    assert value_bytes(copy, "PatientName") == "Müller^Åsa".encode("latin-1")
    assert copy.PregnancyStatus == 4
    assert [item.PatientID for item in copy.OtherPatientIDsSequence] == ["OLD0", "OLD1"]
    nested = copy.OtherPatientIDsSequence[1].IssuerOfPatientIDQualifiersSequence[0]
    assert nested.UniversalEntityID == "Küste"


def test_a_value_that_was_parsed_already_is_copied_with_its_bytes():
    source = read_again(patient(), "explicit")
    assert str(source.PatientName) == "Müller^Åsa"
    assert value_bytes(source, "PatientName") == "Müller^Åsa".encode("latin-1")
    assert value_bytes(source, "PatientID") == b"P1"


def test_every_attribute_of_patient_and_study_is_copied():
    tables = get_module_attribute_map()
    for module, keywords in MODULES.items():
        assert list(keywords) == [one["keyword"] for one in tables[module] if not one["path"]], module


def test_an_absent_value_is_empty():
    assert value_bytes(Dataset(), "PatientName") == b""


def test_the_equipment_that_acquired_the_ct_is_named_with_its_role():
    encode = ElementEncoder(explicit=False)
    item = acquisition_equipment(read_again(patient(), "explicit"), encode)
    ds = read_dataset(BytesIO(item[8:]), is_implicit_VR=True, is_little_endian=True)
    assert ds.Manufacturer == "Maker"
    assert ds.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Acquisition Equipment"
    assert acquisition_equipment(Dataset(), encode) is None


def test_no_attribute_is_invented():
    with pytest.raises(KeyError):
        tag_of("PatientsFavouriteColour")
