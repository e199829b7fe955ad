"""An import from beginning to end: folder in, data set and report out, one CT in memory at a time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol, TypeVar

import numpy as np

from models.data_sets.contents import FILE as DATA_SET
from models.data_sets.data_set import Case, DataSet, DataSetWriter, Part
from models.full_disk import disk_errors
from models.volume import CtVolume
from service.errors import DataRefused
from service.training_data.case_drawing import CaseDrawing, DrawnCt, Rules
from service.training_data.drawn_cts import PatientBy, drawn_cts
from service.training_data.export_files import files_below, read_export
from service.training_data.import_report import CaseMade, ImportReport
from service.training_data.nifti_case import NiftiCase
from service.training_data.patients import FILE as PATIENTS
from service.training_data.patients import PatientList
from service.training_data.progress_journal import FILE as JOURNAL
from service.training_data.progress_journal import CtDone, ProgressJournal
from service.training_data.remarks import Weight
from service.training_data.roi_names import RoiNames

T = TypeVar("T")

_UNTIL_DONE: Final = "unfinished-patients.csv"

_PROVISIONAL: Final[Part] = "train"
"""Parts are drawn at the end, among the patients of whom there is a case."""


class Track(Protocol):
    """Goes through items and shows people how far it is."""

    def __call__(self, items: Sequence[T], description: str) -> Iterable[T]:
        """The items, one after another."""


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What is to be imported, and how.

    Attributes:
        root: the export.
        out: the data set.
        records: report and list of patients; outside the data set.
        names: further files of ROI names.
        rules: how contradictions are settled.
        anonymise: keep nothing that leads back to a patient.
        patient_by: what tells patients apart: Patient ID, or the first folder below the root.
        seed, shares: of the split.
        licence: of the data.
        report_only: make the report and no data set.
        files: those of the export that count; every file below ``root`` if None.
        source: where the cases come from, in words, if not from an export.
        by_hash: the part of a patient follows from the Patient ID alone, in this and every other import.
    """

    root: Path
    out: Path
    records: Path
    names: tuple[Path, ...] = ()
    rules: Rules = field(default_factory=Rules)
    anonymise: bool = False
    patient_by: PatientBy = "id"
    seed: int = 1
    shares: Mapping[Part, float] = field(
        default_factory=lambda: {"train": 0.7, "validation": 0.15, "test": 0.15}
    )
    licence: str = ""
    report_only: bool = False
    files: tuple[Path, ...] | None = None
    source: str = ""
    by_hash: bool = False

    def fingerprint(self, keys: Sequence[str]) -> str:
        """SHA-256 of everything that decides what a case is called and becomes; ``keys`` of all CTs."""
        said = asdict(replace(self, out=Path(), records=Path(), files=None))
        said["rules"]["structures"] = sorted(self.rules.structures or ())
        said["names"] = [hashlib.sha256(file.read_bytes()).hexdigest() for file in self.names]
        said["keys"] = list(keys)
        return hashlib.sha256(json.dumps(said, default=str, sort_keys=True).encode()).hexdigest()


def run_import(plan: ImportPlan, report: ImportReport, track: Track) -> None:
    """Import an export.

    Args:
        plan: what and how.
        report: an empty one; filled, and written where the plan says.
        track: shows how far it is.

    Raises:
        DataRefused: a file of names is wrong, a folder cannot be written, or not one case can be made. The
            report is written even then.
        DataSetInvalid: the data set cannot be written.
    """
    if plan.records.resolve().is_relative_to(plan.out.resolve()):
        raise DataRefused(
            "records.inside",
            "The records name patients and must not lie in the data set. Choose another folder.",
        )
    names = RoiNames.read(plan.names)
    for wanted in sorted(plan.rules.structures or ()):
        if wanted not in names.known:
            like = names.suggestion(wanted)
            raise DataRefused(
                "names.no-structure",
                f"{wanted} is no structure of the list of names" + (f"; is it {like}?" if like else "."),
            )
    with disk_errors(DataRefused, "records"):
        plan.records.mkdir(mode=0o700, parents=True, exist_ok=True)
    run = _Run(plan, names, report)
    run.all(track)
    report.write(plan.records, anonymous=plan.anonymise)
    for forget in run.until_done:
        forget()
    if not report.cases:
        raise DataRefused(
            "data.empty",
            "Not one case could be made. The report says why for each CT and structure set.",
        )


class _Run:
    def __init__(self, plan: ImportPlan, names: RoiNames, report: ImportReport) -> None:
        self.plan, self.names, self.report = plan, names, report
        self.seen: dict[str, str] = {}
        """Case by SHA-256 of its CT numbers."""
        self.until_done: list[Callable[[], None]] = []
        """Removes what an interrupted import would need to go on."""

    def all(self, track: Track) -> None:
        plan = self.plan
        below = (plan.out, plan.records)
        files = files_below(plan.root, below) if plan.files is None else list(plan.files)
        export = read_export(plan.root, track(files, "reading headers"))
        drawn, remarks = drawn_cts(export, plan.patient_by)
        self.report.remarks += [*export.remarks, *remarks]
        kinds = {"NIfTI" if isinstance(one, NiftiCase) else "CT and RT Structure Sets" for one in drawn}
        source = plan.source or " and ".join(sorted(kinds))
        self.report.source = f"{source}, imported by Delineate {version('delineate')}"
        structures = self._structures(drawn)
        self.report.looked_for = sorted(plan.rules.structures or structures)
        if drawn:
            self._cases(drawn, structures, track)

    def _structures(self, drawn: Sequence[DrawnCt]) -> list[str]:
        """What the names of all ROIs stand for, in the order of the list of names."""
        found = set()
        for name in {name for one in drawn for name in one.roi_names}:
            structure = self.names.match(name).structure
            if structure is None:
                self.report.suggestions[name] = self.names.suggestion(name)
            else:
                found.add(structure)
        wanted = self.plan.rules.structures
        return [name for name in self.names.known if name in found and (wanted is None or name in wanted)]

    def _cases(self, drawn: Sequence[DrawnCt], structures: Sequence[str], track: Track) -> None:
        plan = self.plan
        file = plan.records / (_UNTIL_DONE if plan.anonymise else PATIENTS)
        patients = PatientList(file, read_only=plan.report_only)
        journal = ProgressJournal(plan.records / JOURNAL, plan.fingerprint([one.key for one in drawn]))
        writer = self._writer(structures, journal)
        patients.add([one.patient for one in drawn], in_order=not plan.anonymise)
        journal.begin()
        self.until_done = [journal.remove, *([patients.remove] if plan.anonymise else [])]
        numbers: Counter[str] = Counter()
        for one in track(drawn, "drawing structures"):
            patient = patients.pseudonym(one.patient)
            numbers[patient] += 1
            self._case(one, patient, f"{patient}-{numbers[patient]}", writer, journal)
        with_cases = [one.patient for one in self.report.cases]
        if plan.by_hash:
            self.report.parts = patients.by_hash(with_cases, plan.shares)
        else:
            self.report.parts = patients.split(with_cases, plan.seed, plan.shares)
        if writer is not None and not self.report.cases:
            writer.discard()
        elif writer is not None:
            writer.close(self.report.parts)
        if self.report.cases and not plan.report_only:
            self.report.fingerprint = DataSet.open(plan.out).fingerprint

    def _writer(self, structures: Sequence[str], journal: ProgressJournal) -> DataSetWriter | None:
        """None if nothing is to be written, or all was and only the report is to be made again."""
        made = not journal.is_new and (self.plan.out / DATA_SET).is_file()
        if self.plan.report_only or not structures or made:
            return None
        extents = {name: self.names.known[name].extent for name in structures}
        writer = DataSetWriter(
            self.plan.out, structures, self.report.source, licence=self.plan.licence, extents=extents
        )
        if writer.names and journal.is_new:
            raise DataRefused(
                "records.lost",
                "The folder holds an unfinished data set whose records are gone, so nobody knows whose cases "
                "it has. Remove it and run the command again.",
            )
        return writer

    def _case(
        self, one: DrawnCt, patient: str, name: str, writer: DataSetWriter | None, journal: ProgressJournal
    ) -> None:
        done = journal.done(one.key)
        if done is None or (done.case is not None and writer is not None and name not in writer.names):
            drawing = one.draw(self.names, self.plan.rules, with_pixels=writer is not None)
            case, hu_sha256 = self._made(one, patient, name, drawing, writer)
            case_name = "" if case is None else name
            remarks = [replace(remark, patient=patient, case=case_name) for remark in drawing.remarks]
            done = CtDone(case, hu_sha256, remarks)
            journal.note(one.key, done)
        self.report.remarks += done.remarks
        if done.case is not None:
            self.report.cases.append(done.case)
            self.seen[done.hu_sha256] = name

    def _made(
        self, one: DrawnCt, patient: str, name: str, drawing: CaseDrawing, writer: DataSetWriter | None
    ) -> tuple[CaseMade | None, str]:
        """Write the case if there is one; its summary and the SHA-256 of its CT numbers."""
        if not drawing.masks:
            if drawing.grid is not None:
                sentence = "Nothing that is drawn on this CT could be taken."
                drawing.remark("ct.nothing-left", sentence, Weight.LEFT_OUT)
            return None, ""
        made = CaseMade(name, patient, one.folder, one.origin, drawing.volumes_cm3())
        if writer is None or drawing.volume is None:
            return made, ""
        hu_sha256 = hashlib.sha256(np.ascontiguousarray(drawing.volume.hu).data).hexdigest()
        if hu_sha256 in self.seen:
            drawing.remark(
                "ct.same-as",
                f"Its CT numbers are those of case {self.seen[hu_sha256]}: one CT twice, taken once.",
                Weight.LEFT_OUT,
            )
            return None, hu_sha256
        volume = _about_its_middle(drawing.volume) if self.plan.anonymise else drawing.volume
        if name not in writer.names:
            writer.add(Case(name, patient, volume, drawing.masks), _PROVISIONAL)
        return made, hu_sha256


def _about_its_middle(volume: CtVolume) -> CtVolume:
    """The same volume with the origin in its middle: where the couch stood is no one's business."""
    grid = volume.grid
    last = grid.positions_lps_mm(len(volume.hu) - 1, np.array(grid.rows - 1.0), np.array(grid.columns - 1.0))
    middle = (grid.slice_origins_lps_mm[0] + last) / 2
    return CtVolume(volume.hu, replace(grid, slice_origins_lps_mm=grid.slice_origins_lps_mm - middle))
