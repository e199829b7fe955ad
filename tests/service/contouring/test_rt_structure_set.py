"""The object: valid to every validator, the patient copied byte for byte, words where people look."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from drawn_structures import (
    GRID,
    MADE_AT,
    MODEL,
    as_field,
    ball,
    ct_series,
    pelvis,
    segmentation,
    structure_set,
)
from module_check import violations
from pydicom import Dataset, config

from models.volume import Finding, StructureField
from service.config.protocol import Protocol, Structure
from service.config.site import Equipment
from service.contouring.contour_encoding import contour_data
from service.contouring.contours import contours_of
from service.contouring.ct_series import CtSeries
from service.contouring.profiles import PROFILES, profile_named
from service.contouring.set_texts import Replaced
from service.contouring.structure_names import rois_named, rois_of
from service.dicom.ct_writer import SyntheticPatient
from service.dicom.element_encoder import value_bytes
from service.dicom.patient_grids import patient_grid
from service.dicom.uids import derived_uid
from service.errors import StructureSetInvalid

DCIODVFY = shutil.which("dciodvfy")
COPIED = (
    "PatientName PatientID PatientBirthDate PatientSex PatientWeight PatientAge IssuerOfPatientID "
    "StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName StudyDescription "
    "FrameOfReferenceUID PositionReferenceIndicator"
)
UNVALIDATED = replace(MODEL, validated=False)

PATIENTS = {
    "Latin": SyntheticPatient("Müller^Åsa^Ñandú", character_set="ISO_IR 100"),
    "Chinese": SyntheticPatient("Zhang^XiaoDong=张^小东=", character_set="GB18030"),
    "Japanese": SyntheticPatient(
        "Yamada^Tarou=山田^太郎=やまだ^たろう", character_set=("", "ISO 2022 IR 87")
    ),
    "Korean": SyntheticPatient("Hong^Gildong=洪^吉洞=홍^길동", character_set=("", "ISO 2022 IR 149")),
    "Unicode": SyntheticPatient("Wang^XiaoDong=王^小東", character_set="ISO_IR 192"),
    "ASCII": SyntheticPatient("Doe^Jane", character_set="ISO_IR 100"),
}


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> CtSeries:
    return ct_series(tmp_path_factory.mktemp("ct"))


def series_of(who: str, folder: Path, tweak=lambda _, ds: ds) -> CtSeries:
    """A CT of one of the patients; the one in ASCII names no character set at all."""

    def complete(k: int, ds: Dataset) -> Dataset:
        if who == "ASCII":
            del ds.SpecificCharacterSet
        return tweak(k, ds)

    return ct_series(folder, patient=PATIENTS[who], tweak=complete)


@pytest.fixture(scope="module")
def made():
    return segmentation(pelvis())


def decoded(encoded: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(encoded))


def dciodvfy(encoded: bytes, folder: Path) -> list[str]:
    """Errors and warnings of dicom3tools."""
    if DCIODVFY is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    file = folder / "rtstruct.dcm"
    file.write_bytes(encoded)
    done = subprocess.run([DCIODVFY, "-new", str(file)], capture_output=True, text=True, check=False)
    assert "RTStructureSet" in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]


@pytest.mark.peer
@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
@pytest.mark.parametrize("profile", PROFILES)
def test_dciodvfy_finds_nothing(series, made, profile, syntax, tmp_path):
    replaced = Replaced(derived_uid("2.25", "before"), MADE_AT - timedelta(hours=1), 11)
    encoded = structure_set(
        series, made, profile=profile_named(profile, transfer_syntax=syntax), replaces=replaced
    ).encode()
    assert dciodvfy(encoded, tmp_path) == []


@pytest.mark.peer
@pytest.mark.parametrize("who", PATIENTS)
def test_dciodvfy_finds_nothing_in_any_character_set(who, made, tmp_path):
    series = series_of(who, tmp_path / "ct")
    assert dciodvfy(structure_set(series, made).encode(), tmp_path) == []


@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
def test_pydicom_reads_every_value_strictly(series, made, syntax):
    encoded = structure_set(series, made, profile=profile_named("generic", transfer_syntax=syntax)).encode()
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.RAISE
    try:
        ds = decoded(encoded)
        assert sum(1 for _ in ds.iterall()) > 500
    finally:
        config.settings.reading_validation_mode = before
    assert ds.file_meta.TransferSyntaxUID.is_implicit_VR == (syntax == "implicit")


@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
def test_no_attribute_of_any_module_is_missing(series, made, syntax):
    encoded = structure_set(series, made, profile=profile_named("generic", transfer_syntax=syntax)).encode()
    assert violations(decoded(encoded)) == ()


def test_implicit_and_explicit_say_the_same(series, made):
    implicit, explicit = (
        decoded(structure_set(series, made, profile=profile_named("generic", transfer_syntax=s)).encode())
        for s in ("implicit", "explicit")
    )
    assert implicit.to_json_dict() == explicit.to_json_dict()


def test_the_same_set_made_again_is_the_same_bytes(series, made):
    assert structure_set(series, made).encode() == structure_set(series, made).encode()


@pytest.mark.parametrize("who", PATIENTS)
def test_what_the_ct_says_of_the_patient_is_copied_byte_for_byte(who, made, tmp_path):
    def add(_: int, ds: Dataset) -> Dataset:
        ds.PatientWeight, ds.PatientAge, ds.IssuerOfPatientID = "61.50", "045Y", "Ward 7"
        ds.OtherPatientIDsSequence = [Dataset()]
        ds.OtherPatientIDsSequence[0].PatientID = "OLD-1"
        ds.OtherPatientIDsSequence[0].TypeOfPatientID = "TEXT"
        return ds

    series = series_of(who, tmp_path, add)
    original = pydicom.dcmread(tmp_path / "CT0000.dcm")
    copy = decoded(structure_set(series, made).encode())
    assert copy.get("SpecificCharacterSet") == original.get("SpecificCharacterSet")
    for keyword in COPIED.split():
        assert (copy.get_item(keyword).value or b"") == (original.get_item(keyword).value or b""), keyword
    assert copy.OtherPatientIDsSequence[0].PatientID == "OLD-1"
    assert str(copy.PatientName) == str(original.PatientName)


def test_a_patient_name_that_breaks_its_character_set_is_copied_all_the_same(made, tmp_path):
    def break_name(_: int, ds: Dataset) -> Dataset:
        ds.PatientName = b"M\xfcller^\xc3\xa5sa"
        ds.SpecificCharacterSet = "ISO_IR 192"
        return ds

    series = ct_series(tmp_path, tweak=break_name)
    encoded = structure_set(series, made).encode()
    assert value_bytes(decoded(encoded), "PatientName") == b"M\xfcller^\xc3\xa5sa"


def test_without_a_name_the_attributes_are_there_and_empty(made, tmp_path):
    def unname(_: int, ds: Dataset) -> Dataset:
        for keyword in ("PatientName", "PatientBirthDate", "AccessionNumber", "ReferringPhysicianName"):
            del ds[keyword]
        return ds

    series = ct_series(tmp_path, tweak=unname)
    ds = decoded(structure_set(series, made).encode())
    assert violations(ds) == ()
    assert not ds.PatientName
    with pytest.raises(StructureSetInvalid) as refusal:
        structure_set(series, made, profile="raystation")
    assert refusal.value.code == "structure-set.patient-unnamed"


def test_every_number_has_at_most_16_characters(series, made):
    ds = decoded(structure_set(series, made).encode())
    for roi in ds.ROIContourSequence:
        for contour in roi.ContourSequence:
            texts = contour.get_item("ContourData").value.rstrip().split(b"\\")
            assert max(map(len, texts)) <= 16
            assert len(texts) == 3 * contour.NumberOfContourPoints >= 9


def test_on_transverse_slices_z_is_written_as_the_image_has_it(made, tmp_path):
    grid = patient_grid(
        "HFS", shape_zyx=GRID.shape_zyx, spacing_zyx_mm=(3, 1.2, 0.9), center_lps_mm=(0, 0, 0.12345)
    )
    series = ct_series(tmp_path, grid)
    ds = decoded(structure_set(series, made).encode())
    contour = ds.ROIContourSequence[1].ContourSequence[0]
    uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
    k = [reference.sop_instance_uid for reference in series.references].index(uid)
    assert set(contour.ContourData[2::3]) == {series.references[k].position_lps_mm[2]}


def test_a_contour_too_long_for_explicit_vr_loses_points_and_not_its_end(tmp_path):
    grid = patient_grid("HFS", shape_zyx=(5, 300, 300), spacing_zyx_mm=(3.0, 1.0, 1.0))
    rows, columns = np.mgrid[:300, :300]
    radius = np.hypot(rows - 150, columns - 150)
    wavy = np.sin(np.arctan2(rows - 150, columns - 150) * 40) * 35 + 105 - radius
    series = ct_series(tmp_path, grid)
    made = segmentation({"Bladder": StructureField(wavy[None].astype(np.float32), (2, 0, 0))})
    (whole,) = contours_of(made, series.grid).structures["Bladder"]
    assert len(contour_data(whole.points_lps_mm)) > 65_534
    profile = profile_named("generic", transfer_syntax="explicit")
    ds = decoded(structure_set(series, made, profile=profile).encode())
    (contour,) = ds.ROIContourSequence[0].ContourSequence
    assert 20_000 < len(contour.get_item("ContourData").value) <= 65_534
    assert contour.NumberOfContourPoints * 3 == len(contour.ContourData)


def test_roi_sequences_say_name_type_colour_code_and_side(series, made):
    ds = decoded(structure_set(series, made).encode())
    names = [roi.ROIName for roi in ds.StructureSetROISequence]
    assert names == list(made.structures)
    left = names.index("Femur_Head_L")
    observation = ds.RTROIObservationsSequence[left]
    code = observation.RTROIIdentificationCodeSequence[0]
    side = code.SegmentedPropertyTypeModifierCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("2812003", "SCT")
    assert (side.CodeValue, side.CodeMeaning) == ("7771000", "Left")
    assert observation.RTROIInterpretedType == "ORGAN"
    assert ds.RTROIObservationsSequence[0].RTROIInterpretedType == "EXTERNAL"
    assert list(ds.ROIContourSequence[left].ROIDisplayColor) == [0, 191, 255]
    for sequence in (ds.ROIContourSequence, ds.RTROIObservationsSequence):
        assert [item.ReferencedROINumber for item in sequence] == [1, 2, 3, 4, 5, 6, 7]


def test_the_algorithm_is_named_with_its_version_and_the_hash_of_its_weights(series, made):
    roi = decoded(structure_set(series, made).encode()).StructureSetROISequence[0]
    algorithm = roi.ROIDerivationAlgorithmIdentificationSequence[0]
    assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("pelvis-ct", "1.0")
    assert f"sha256={'ab' * 32}" in algorithm.AlgorithmParameters


def test_every_image_of_the_ct_is_referred_to_in_order(series, made):
    ds = decoded(structure_set(series, made).encode())
    (frame,) = ds.ReferencedFrameOfReferenceSequence
    (of_series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == series.frame_of_reference_uid
    assert of_series.SeriesInstanceUID == series.series_instance_uid
    assert [image.ReferencedSOPInstanceUID for image in of_series.ContourImageSequence] == [
        reference.sop_instance_uid for reference in series.references
    ]


def test_frames_of_a_multi_frame_ct_are_referred_to_by_their_number(series, made):
    one = series.references[0]
    frames = tuple(
        replace(reference, sop_instance_uid=one.sop_instance_uid, frame_number=12 - k)
        for k, reference in enumerate(series.references)
    )
    ds = decoded(structure_set(replace(series, references=frames), made).encode())
    images = [
        image
        for roi in ds.ROIContourSequence
        for contour in roi.ContourSequence
        for image in contour.ContourImageSequence
    ]
    assert all(1 <= image.ReferencedFrameNumber <= 12 for image in images)
    lowest = min(
        (contour for contour in ds.ROIContourSequence[0].ContourSequence), key=lambda c: c.ContourData[2]
    )
    assert lowest.ContourImageSequence[0].ReferencedFrameNumber == 12


def test_equipment_label_and_versions_come_from_the_configuration(series, made):
    equipment = Equipment(
        manufacturer="Clinic",
        station_name="NODE7",
        institution_name="Sjukhuset Örebro",
        device_serial_number="42",
    )
    ds = decoded(
        structure_set(
            series, made, equipment=equipment, label="My label", series_description="Contours by night"
        ).encode()
    )
    assert (ds.Manufacturer, ds.StationName, ds.DeviceSerialNumber) == ("Clinic", "NODE7", "42")
    assert ds.InstitutionName == "Sjukhuset Örebro"
    assert ds.StructureSetLabel == "My label"
    assert ds.SeriesDescription == "Contours by night pelvis-ct 1.0"
    assert list(ds.SoftwareVersions) == ["Delineate 0.1.0", "pelvis-ct 1.0"]
    assert ds.ContributingEquipmentSequence[0].Manufacturer == "Synthetic"


def test_text_that_the_cts_character_set_lacks_is_written_in_plain_letters(made, tmp_path):
    series = series_of("ASCII", tmp_path)
    ds = decoded(structure_set(series, made, equipment=Equipment(institution_name="Örebro")).encode())
    assert ds.InstitutionName == "Orebro"


def test_names_given_in_the_protocol_are_written_and_the_structure_stands_in_the_description(series, made):
    rois = rois_of(
        Protocol(model="pelvis-ct@2.0", structures={"Rectum": Structure(name="Ändtarm"), "Bladder": None})
    )
    ds = decoded(structure_set(series, made, rois=rois).encode())
    assert [roi.ROIName for roi in ds.StructureSetROISequence] == ["Ändtarm", "Bladder"]
    assert "Structure: Rectum." in ds.StructureSetROISequence[0].ROIDescription
    plain = decoded(structure_set(series, made, rois=rois, profile="eclipse").encode())
    assert plain.StructureSetROISequence[0].ROIName == "Andtarm"


def test_everything_is_unapproved(series, made):
    assert decoded(structure_set(series, made).encode()).ApprovalStatus == "UNAPPROVED"


def test_a_set_of_an_unvalidated_model_says_so_wherever_people_look(series):
    made = segmentation(pelvis(), made_by=UNVALIDATED)
    ds = decoded(structure_set(series, made).encode())
    assert ds.StructureSetLabel == "NOT CLINICAL AI"
    assert ds.StructureSetName.startswith("NOT FOR CLINICAL USE AI pelvis")
    assert ds.SeriesDescription.startswith("NOT FOR CLINICAL USE")
    assert ds.StructureSetDescription.startswith("NOT FOR CLINICAL USE")
    assert all(r.ROIDescription.startswith("NOT FOR CLINICAL USE") for r in ds.StructureSetROISequence)


def test_a_set_of_a_validated_model_does_not(series, made):
    encoded = structure_set(series, made).encode()
    assert b"CLINICAL" not in encoded
    assert decoded(encoded).StructureSetLabel == "AI pelvis"


def test_findings_and_notes_stand_where_they_belong(series):
    made = segmentation(
        pelvis(),
        (
            Finding("cut", "The bladder is cut off by the field of view.", "Bladder"),
            Finding("half", "Only half a pelvis is in the CT."),
        ),
    )
    rois = rois_named([*made.structures, "Colon"])
    ds = decoded(structure_set(series, made, rois=rois, notes=("Compressed with loss.",)).encode())
    bladder = ds.StructureSetROISequence[1].ROIDescription
    assert "The bladder is cut off by the field of view." in bladder
    assert "cut off" not in ds.StructureSetROISequence[2].ROIDescription
    for sentence in ("Only half a pelvis is in the CT.", "Compressed with loss.", "Not found: Colon."):
        assert sentence in ds.StructureSetDescription


def test_a_set_that_replaces_another_says_which_and_of_how_many_slices(series, made):
    replaced = Replaced("2.25.77", MADE_AT - timedelta(minutes=65), 9)
    ds = decoded(structure_set(series, made, replaces=replaced).encode())
    assert ds.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == "2.25.77"
    assert "Replaces the set of 13:00, 9 of 12 slices." in ds.StructureSetDescription
    assert ds.SeriesDescription.startswith("replaces the set of 13:00, 9 of 12 slices")
    for profile in ("eclipse", "raystation"):
        ds = decoded(structure_set(series, made, replaces=replaced, profile=profile).encode())
        assert "PredecessorStructureSetSequence" not in ds
        assert "Replaces the set of 13:00" in ds.StructureSetDescription


def test_dates_are_the_sites_and_the_offset_is_written_only_if_it_holds_for_the_ct_too(made, tmp_path):
    for offset, written in (("+0100", True), ("+0900", False), (None, False)):

        def add(_: int, ds: Dataset, offset=offset) -> Dataset:
            if offset:
                ds.TimezoneOffsetFromUTC = offset
            return ds

        series = ct_series(tmp_path / f"{offset}", tweak=add)
        ds = decoded(structure_set(series, made).encode())
        assert (ds.StructureSetDate, ds.StructureSetTime) == ("20260115", "140530")
        assert ("TimezoneOffsetFromUTC" in ds) == written


def test_without_any_structure_there_is_no_set(series):
    empty = as_field(ball(GRID, (0, 0, 0), 5.0))
    empty = replace(empty, field=-np.abs(empty.field))
    with pytest.raises(StructureSetInvalid) as refusal:
        structure_set(series, segmentation({"Bladder": empty}))
    assert refusal.value.code == "structure-set.empty"


def test_two_externals_are_refused(series, made):
    external = rois_named(["External"])[0]
    body = replace(external, structure="Bladder", name="Body")
    with pytest.raises(StructureSetInvalid) as refusal:
        structure_set(series, made, rois=(external, body))
    assert refusal.value.code == "structure-set.two-externals"


def test_holes_are_keyholes_by_default_and_rings_of_one_type_by_exclusive_or(series, made):
    keyhole = decoded(structure_set(series, made).encode())
    rings = decoded(structure_set(series, made, profile=profile_named("generic", holes="xor")).encode())
    spine = list(made.structures).index("Spine")
    types = {c.ContourGeometricType for roi in keyhole.ROIContourSequence for c in roi.ContourSequence}
    assert types == {"CLOSED_PLANAR"}
    assert {c.ContourGeometricType for c in rings.ROIContourSequence[spine].ContourSequence} == {
        "CLOSEDPLANAR_XOR"
    }
    assert {c.ContourGeometricType for c in rings.ROIContourSequence[1].ContourSequence} == {"CLOSED_PLANAR"}
