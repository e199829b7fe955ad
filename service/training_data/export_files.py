"""Every file below a folder: which CT series and structure sets there are, which NIfTI images, and what else.

Only headers are read. Nothing depends on names or nesting of folders; DICOM files need no suffix.
"""

from __future__ import annotations

import filecmp
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, RTStructureSetStorage

from service.contouring.header_elements import text
from service.dicom.library_errors import LIBRARY_ERRORS
from service.dicom.planar_contours import SliceKey
from service.dicom.structure_set_reader import read_structure_set
from service.errors import StructureSetInvalid
from service.training_data.remarks import Remark, Weight

_TAGS: Final = {
    "SpecificCharacterSet": 0x00080005,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "Modality": 0x00080060,
    "PatientID": 0x00100020,
    "IssuerOfPatientID": 0x00100021,
    "PatientName": 0x00100010,
    "PatientBirthDate": 0x00100030,
    "SeriesInstanceUID": 0x0020000E,
}
_CT: Final = (CTImageStorage, EnhancedCTImageStorage)


@dataclass(frozen=True, slots=True, repr=False)
class WhoseItIs:
    """What tells patients apart, as it stands in a header."""

    patient_id: str
    issuer: str
    name: str
    birth_date: str


@dataclass(slots=True, repr=False)
class CtFiles:
    """The files of one CT series.

    Attributes:
        series_instance_uid: of the series.
        whose: of its first file.
        files: by SOP instance UID; several where different files bear one UID.
    """

    series_instance_uid: str
    whose: WhoseItIs
    files: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def all_files(self) -> list[Path]:
        """Every file of the series."""
        return [file for files in self.files.values() for file in files]


@dataclass(frozen=True, slots=True, repr=False)
class StructureSetFile:
    """What one structure set says of itself.

    Attributes:
        file: where it lies.
        sop_instance_uid: of it.
        whose: which patient.
        label: Structure Set Label.
        made_at: Structure Set Date and Time, as text that sorts.
        approved: Approval Status is APPROVED.
        series: series that it refers to.
        images: SOP instance UIDs that it or its contours refer to.
        roi_names: in order, those without contours too.
    """

    file: Path
    sop_instance_uid: str
    whose: WhoseItIs
    label: str
    made_at: str
    approved: bool
    series: frozenset[str]
    images: frozenset[str]
    roi_names: tuple[str, ...]


@dataclass(slots=True, repr=False)
class Export:
    """What lies below a folder.

    Attributes:
        root: the folder.
        series: CT series by SeriesInstanceUID.
        sets: structure sets, by path.
        images: NIfTI files, by path.
        remarks: on files that are not taken.
    """

    root: Path
    series: dict[str, CtFiles] = field(default_factory=dict)
    sets: list[StructureSetFile] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def folder_of(self, files: Iterable[Path]) -> str:
        """The folder that holds all these files, below the root."""
        return folder_below(self.root, files)


def folder_below(root: Path, files: Iterable[Path]) -> str:
    """The folder that holds all these files, as a path below ``root``; ``.`` for ``root`` itself."""
    return str(Path(os.path.commonpath([file.parent for file in files])).relative_to(root))


def files_below(root: Path, but_not: Iterable[Path] = ()) -> list[Path]:
    """Every file below ``root`` in order of its path; links to folders are not followed."""
    left_out = {folder.resolve() for folder in but_not}
    found = []
    for folder, folders, names in os.walk(root):
        at = Path(folder)
        folders[:] = sorted(name for name in folders if (at / name).resolve() not in left_out)
        found += [at / name for name in sorted(names)]
    return sorted(found)


def read_export(root: Path, files: Iterable[Path]) -> Export:
    """Sort the files by what they are."""
    reading = _Reading(Export(root))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's quote values of the data set
        for file in files:
            reading.take(file)
    reading.finish()
    return reading.export


@dataclass
class _Reading:
    export: Export
    other: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    twice: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    sets_by_uid: dict[str, list[StructureSetFile]] = field(default_factory=lambda: defaultdict(list))

    def take(self, file: Path) -> None:
        """Look at one file."""
        if file.name.endswith((".nii", ".nii.gz")):
            self.export.images.append(file)
            return
        header = _header(file)
        if header is None:
            self._put_aside(file, f"no DICOM ({file.suffix.lower() or 'no suffix'})")
            return
        sop_class = text(header, _TAGS["SOPClassUID"])
        if sop_class in _CT:
            self._ct(file, header)
        elif sop_class == RTStructureSetStorage:
            self._structure_set(file, header)
        else:
            self._put_aside(file, text(header, _TAGS["Modality"]) or "other DICOM")

    def finish(self) -> None:
        """Say what was not taken."""
        for _, sets in sorted(self.sets_by_uid.items()):
            if len(sets) == 1:
                self.export.sets.append(sets[0])
                continue
            for one in sets:
                self._remark(
                    "structure-set.conflict",
                    f"{len(sets)} different structure sets bear one SOP Instance UID: none of them is taken. "
                    "Keep the right one.",
                    [one.file],
                    one.label,
                )
        self.export.sets.sort(key=lambda one: one.file)
        for folder, files in sorted(self.twice.items()):
            sentence = f"{len(files)} files are copies of others in this export: each was taken once."
            self.export.remarks.append(Remark("file.twice", sentence, Weight.NOTE, folder))
        for folder, kinds in sorted(self.other.items()):
            listed = ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))
            self.export.remarks.append(
                Remark("file.other", f"Neither CT nor structure set: {listed}.", Weight.NOTE, folder)
            )

    def _put_aside(self, file: Path, kind: str) -> None:
        self.other[self.export.folder_of([file])][kind] += 1

    def _remark(self, code: str, sentence: str, files: list[Path], roi: str = "") -> None:
        folder = self.export.folder_of(files)
        self.export.remarks.append(Remark(code, sentence, Weight.LEFT_OUT, folder, roi))

    def _is_copy(self, file: Path, others: Iterable[Path]) -> bool:
        if any(filecmp.cmp(file, other, shallow=False) for other in others):
            self.twice[self.export.folder_of([file])].append(file)
            return True
        return False

    def _ct(self, file: Path, header: Dataset) -> None:
        series_uid = text(header, _TAGS["SeriesInstanceUID"])
        series = self.export.series.setdefault(series_uid, CtFiles(series_uid, _whose(header)))
        same = series.files.setdefault(text(header, _TAGS["SOPInstanceUID"]), [])
        if not self._is_copy(file, same):
            same.append(file)

    def _structure_set(self, file: Path, header: Dataset) -> None:
        try:
            found = read_structure_set(file)
        except (StructureSetInvalid, *LIBRARY_ERRORS) as error:
            code = error.code if isinstance(error, StructureSetInvalid) else "structure-set.unreadable"
            self._remark(code, "The structure set cannot be read. Export it again.", [file])
            return
        uid = text(header, _TAGS["SOPInstanceUID"])
        if self._is_copy(file, [one.file for one in self.sets_by_uid[uid]]):
            return
        said = found.header
        contoured = (key for roi in found.rois for contour in roi.contours for key in contour.images)
        self.sets_by_uid[uid].append(
            StructureSetFile(
                file=file,
                sop_instance_uid=uid,
                whose=_whose(header),
                label=str(said.get("StructureSetLabel", "") or ""),
                made_at=f"{said.get('StructureSetDate', '')} {said.get('StructureSetTime', '')}".strip(),
                approved=found.approval_status == "APPROVED",
                series=frozenset(found.series_instance_uids) - {""},
                images=_uids(found.images) | _uids(contoured),
                roi_names=tuple(roi.name for roi in found.rois),
            )
        )


def _uids(keys: Iterable[SliceKey]) -> frozenset[str]:
    return frozenset(uid for uid, _ in keys) - {""}


def _header(file: Path) -> Dataset | None:
    try:
        return dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS.values()))
    except LIBRARY_ERRORS:
        return None


def _whose(header: Dataset) -> WhoseItIs:
    """As people read it, whatever the character set; what cannot be decoded stays as it is."""
    keywords = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
    return WhoseItIs(*(str(header.get(keyword) or "").strip("^= \0") for keyword in keywords))
