"""One CT series of an export with the structure sets that were drawn on it."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from models.volume import Severity
from service.contouring.ct_series import CtSeries, Limits
from service.dicom.structure_set_reader import Roi, read_structure_set
from service.errors import SeriesRefused, StructureSetInvalid
from service.training_data.case_drawing import (
    Candidate,
    CaseDrawing,
    Rules,
    settle,
    structure_of,
)
from service.training_data.export_files import StructureSetFile
from service.training_data.remarks import Weight
from service.training_data.roi_drawing import CtFrame, RoiDrawing, draw_roi
from service.training_data.roi_names import RoiNames
from service.training_data.set_pairing import PairedCt

_LIMITS = Limits(enhanced_ct=True)


@dataclass(frozen=True, slots=True, repr=False)
class DicomCase:
    """A CT series and its structure sets; see ``DrawnCt``."""

    pair: PairedCt
    patient: tuple[str, str]
    folder: str

    @property
    def key(self) -> str:
        """SHA-256 of the UIDs of its images and sets."""
        uids = [self.pair.ct.series_instance_uid, *sorted(self.pair.ct.files)]
        uids += [one.sop_instance_uid for one in self.pair.sets]
        return hashlib.sha256("\n".join(uids).encode()).hexdigest()

    @property
    def origin(self) -> str:
        """Series Instance UID of the CT."""
        return self.pair.ct.series_instance_uid

    @property
    def roi_names(self) -> tuple[str, ...]:
        """Of all its structure sets."""
        return tuple(name for one in self.pair.sets for name in one.roi_names)

    def draw(self, names: RoiNames, rules: Rules, *, with_pixels: bool) -> CaseDrawing:
        """Read and draw it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's quote values of the data set
            try:
                series = CtSeries.read(self.pair.ct.all_files, limits=_LIMITS)
                drawing = CaseDrawing.on(series.grid, self.folder)
                self._draw(drawing, series, names, rules)
                if with_pixels and drawing.masks:
                    drawing.volume = series.volume()
            except SeriesRefused as refused:
                drawing = CaseDrawing.refused(refused, self.folder)
        return drawing

    def _draw(self, drawing: CaseDrawing, series: CtSeries, names: RoiNames, rules: Rules) -> None:
        for finding in series.findings:
            weight = Weight.NOTE if finding.severity is Severity.NOTE else Weight.WARNING
            drawing.remark(finding.code, finding.sentence, weight)
        if series.hu_dtype != "int16":
            drawing.remark("ct.rounded", "Its CT numbers are not whole; they were rounded.", Weight.NOTE)
        keys = [(one.sop_instance_uid, one.frame_number) for one in series.references]
        frame = CtFrame(series.grid, keys, series.frame_of_reference_uid)
        candidates: dict[str, list[Candidate]] = defaultdict(list)
        for one in self.pair.sets:
            for roi in _rois(drawing, one):
                structure = structure_of(drawing, roi.name, names, rules)
                if structure is not None:
                    draw = _drawer(roi, frame, names, structure, rules)
                    candidates[structure].append(
                        Candidate(one.sop_instance_uid, roi.name, one.approved, one.made_at, draw)
                    )
        settle(drawing, series.grid, candidates, rules.prefer)


def _rois(drawing: CaseDrawing, one: StructureSetFile) -> tuple[Roi, ...]:
    try:
        return read_structure_set(one.file).rois
    except (StructureSetInvalid, OSError):
        sentence = "The structure set could be read before and cannot any more. Export it again."
        drawing.remark("structure-set.unreadable", sentence, Weight.LEFT_OUT, one.label)
        return ()


def _drawer(
    roi: Roi, frame: CtFrame, names: RoiNames, structure: str, rules: Rules
) -> Callable[[], RoiDrawing]:
    return partial(draw_roi, roi, frame, names.known[structure], empty_is_absent=rules.empty_is_absent)
