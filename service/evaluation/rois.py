"""The ROIs of two structure sets as they are compared: ours, which say what they are, and a reviewer's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset

from service.dicom.ct_geometry import CtGeometry
from service.dicom.library_errors import LIBRARY_ERRORS
from service.dicom.structure_set_reader import AREAS, Roi, RoiSlices, StructureSet, roi_slices
from service.errors import StructureSetInvalid

_STRUCTURE: Final = re.compile(r"(?:^|\s)Structure: (\S+)\.(?:\s|$)")
_DERIVED: Final = "derived"
_OFF_PLANE_MM: Final = 0.5
"""A contour that lies farther from the plane of its slice than this was drawn on another CT's planes."""

CodeKey = tuple[str, str, str]
"""Value and scheme of an anatomy's code, and the value of its modifier, the side."""


@dataclass(frozen=True, slots=True, repr=False)
class DrawnRoi:
    """An ROI on the slices of our CT.

    Attributes:
        number, name: ROI Number and ROI Name.
        label: ROI Observation Label, empty if absent.
        code: what it is, coded; None if it does not say.
        slices: its closed contours on the CT's slices.
        contours: how many closed contours it has, wherever they lie.
    """

    number: int
    name: str
    label: str
    code: CodeKey | None
    slices: RoiSlices
    contours: int

    @property
    def is_resampled(self) -> bool:
        """Its contours lie on other planes than the slices of our CT."""
        return self.slices.left_out > 0 or self.slices.farthest_off_plane_mm > _OFF_PLANE_MM


@dataclass(frozen=True, slots=True, repr=False)
class OurStructure:
    """One of ours: ``structure`` is its TG-263 name, ``model`` what made it (``name@version``, or empty)."""

    structure: str
    model: str
    roi: DrawnRoi


def our_structures(ours: StructureSet, geometry: CtGeometry) -> list[OurStructure]:
    """What a structure set that we made says of its ROIs: structure and model stand in it."""
    said = {int(item.ROINumber): item for item in ours.header.get("StructureSetROISequence", [])}
    return [
        OurStructure(_structure_of(said[roi.number], roi.name), _model_of(said[roi.number]), roi)
        for roi in drawn_rois(ours, geometry)
    ]


def drawn_rois(found: StructureSet, geometry: CtGeometry) -> Iterator[DrawnRoi]:
    """The ROIs of a structure set, laid on the slices of a CT.

    Raises:
        StructureSetInvalid: what it says of an ROI cannot be read.
    """
    with reading():
        observed = {
            int(item.ReferencedROINumber): item for item in found.header.get("RTROIObservationsSequence", [])
        }
    for roi in found.rois:
        about = observed.get(roi.number, Dataset())
        with reading():
            label, code = str(about.get("ROIObservationLabel") or ""), _code_of(about)
        yield DrawnRoi(
            number=roi.number,
            name=roi.name,
            label=label,
            code=code,
            slices=roi_slices(roi, geometry.grid, geometry.slices),
            contours=_closed_contours(roi),
        )


@contextmanager
def reading() -> Iterator[None]:
    """While values are asked for that pydicom decodes only then.

    Raises:
        StructureSetInvalid: one of them is none.
    """
    try:
        yield
    except LIBRARY_ERRORS as error:
        sentence = "A value in the structure set cannot be read. Export it again from where it was made."
        raise StructureSetInvalid("structure-set.unreadable", sentence) from error


def folded(name: str) -> str:
    """The letters and digits of a name, without case and accents: names that share them are the same."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(character for character in plain.casefold() if character.isalnum())


def _closed_contours(roi: Roi) -> int:
    return sum(each.geometric_type in AREAS and len(each.points_lps_mm) >= 3 for each in roi.contours)


def _structure_of(item: Dataset, name: str) -> str:
    """Our description of an ROI names its structure where a receiver or a protocol wants another name."""
    said = _STRUCTURE.search(str(item.get("ROIDescription") or ""))
    return said[1] if said else name


def _model_of(item: Dataset) -> str:
    for algorithm in item.get("ROIDerivationAlgorithmIdentificationSequence", []):
        name, version = str(algorithm.get("AlgorithmName", "")), str(algorithm.get("AlgorithmVersion", ""))
        if name and version and name != _DERIVED:
            return f"{name}@{version}"
    return ""


def _code_of(about: Dataset) -> CodeKey | None:
    for code in about.get("RTROIIdentificationCodeSequence", []):
        value, scheme = str(code.get("CodeValue") or ""), str(code.get("CodingSchemeDesignator") or "")
        if value and scheme:
            return value, scheme, _side_of(about, code)
    return None


def _side_of(about: Dataset, code: Dataset) -> str:
    """Value of the side's code: where the Standard has it, and where the code itself was given it."""
    for holder in (code, about):
        for modifier in holder.get("SegmentedPropertyTypeModifierCodeSequence", []):
            return str(modifier.get("CodeValue") or "")
    return ""
