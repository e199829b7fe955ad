"""Which queries a row becomes, and which answers count, with an archive that is a list of rows."""

from __future__ import annotations

import pytest
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, SecondaryCaptureImageStorage

from service.retrieval.matching import Matching
from service.retrieval.troubles import PullFailed
from service.retrieval.wanted import Wanted

CT, ENHANCED, CAPTURE = str(CTImageStorage), str(EnhancedCTImageStorage), str(SecondaryCaptureImageStorage)


class Archive:
    """Images, each with its series, study, date and patient; ``overlooks`` are keys that it does not match."""

    def __init__(self, *images: tuple[str, str, str, str, str, str], overlooks: tuple[str, ...] = ()) -> None:
        self.images = images
        self.overlooks = overlooks
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.counts: dict[str, str] = {}
        self.lists_images = True

    def ask(self, level: str, keys: dict[str, str]) -> list[dict[str, str]]:
        self.asked.append((level, keys))
        if level == "IMAGE" and not self.lists_images:
            return []
        found = {}
        for patient, date, study, series, modality, image in self.images:
            uid, sop_class = image.split("/")
            have = {
                "PatientID": patient, "StudyDate": date, "StudyInstanceUID": study, "SeriesInstanceUID": series,
                "Modality": modality, "SOPInstanceUID": uid, "SOPClassUID": sop_class,
                "ModalitiesInStudy": "\\".join(each[4] for each in self.images if each[2] == study), "NumberOfSeriesRelatedInstances": self.counts.get(series, ""),
            }  # fmt: skip
            wanted = {
                key: value
                for key, value in keys.items()
                if value and key not in (*self.overlooks, "StudyDate")
            }
            low, _, high = keys.get("StudyDate", "").partition("-")
            if all(have.get(key) == value for key, value in wanted.items()) and (low or "0") <= date <= (
                high or "9"
            ):
                name = {"STUDY": study, "SERIES": series, "IMAGE": uid}[level]
                found[name] = {key: have.get(key, "") for key in keys}
        return list(found.values())


IMAGES = (
    ("P1", "20240110", "1.1", "1.1.1", "CT", f"1.1.1.1/{CT}"),
    ("P1", "20240110", "1.1", "1.1.1", "CT", f"1.1.1.2/{CT}"),
    ("P1", "20240110", "1.1", "1.1.1", "CT", f"1.1.1.3/{CAPTURE}"),
    ("P1", "20240110", "1.1", "1.1.2", "MR", "1.1.2.1/1.2.840.10008.5.1.4.1.1.4"),
    ("P1", "20250210", "1.2", "1.2.1", "CT", f"1.2.1.1/{CT}"),
    ("P1", "20250210", "1.2", "1.2.2", "CT", f"1.2.2.1/{CAPTURE}"),
    ("P2", "20240110", "1.3", "1.3.1", "CT", f"1.3.1.1/{ENHANCED}"),
)


def series(archive, classes=(CT,), **wanted):
    return [
        (each.series_instance_uid, each.instances)
        for each in Matching(Wanted(1, **wanted), classes, archive.ask).series()
    ]


def test_all_ct_of_a_patient_by_the_images_that_are_ct():
    assert series(Archive(*IMAGES), patient_id="P1") == [("1.1.1", 2), ("1.2.1", 1)]


def test_within_dates():
    assert series(Archive(*IMAGES), patient_id="P1", since="20250101") == [("1.2.1", 1)]
    assert series(Archive(*IMAGES), since="20240101", until="20241231", classes=(CT, ENHANCED)) == [
        ("1.1.1", 2),
        ("1.3.1", 1),
    ]


def test_a_study_or_a_series_is_not_looked_for_among_studies():
    archive = Archive(*IMAGES)
    assert series(archive, study_instance_uid="1.2") == [("1.2.1", 1)]
    assert series(archive, series_instance_uid="1.1.1") == [("1.1.1", 2)]
    assert {level for level, _ in archive.asked} == {"SERIES", "IMAGE"}


@pytest.mark.parametrize(
    "overlooked", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "StudyDate", "Modality"]
)
def test_a_key_that_an_archive_overlooks_changes_nothing(overlooked):
    archive = Archive(*IMAGES, overlooks=(overlooked,))
    if overlooked == "StudyDate":
        real = archive.ask
        archive.ask = lambda level, keys: real(
            level, {**keys, "StudyDate": ""} if "StudyDate" in keys else keys
        )
    assert series(archive, patient_id="P1", since="20240101", until="20240131") == [("1.1.1", 2)]
    assert series(archive, study_instance_uid="1.1", series_instance_uid="1.1.1") == [("1.1.1", 2)]


def test_only_others_is_not_the_same_as_nothing():
    with pytest.raises(PullFailed) as failure:
        series(Archive(*IMAGES, overlooks=("PatientID",)), patient_id="P3")
    assert failure.value.code == "archive.answers-other"
    assert series(Archive(*IMAGES), patient_id="P3") == []


def test_an_archive_that_lists_no_images_is_believed_in_its_number():
    archive = Archive(*IMAGES)
    archive.lists_images = False
    archive.counts = {"1.1.1": "2", "1.2.1": "many"}
    assert series(archive, study_instance_uid="1.1") == [("1.1.1", 2)]
    assert series(archive, study_instance_uid="1.2") == [("1.2.1", 0), ("1.2.2", 0)]


def test_uids_that_are_none_are_not_asked_for():
    assert series(
        Archive(("P1", "20240101", "1.1", "../../etc", "CT", f"1.1/{CT}"), IMAGES[0]),
        study_instance_uid="1.1",
    ) == [("1.1.1", 1)]
