"""What a structure set says of one ROI besides its contours: name, origin, anatomy, type."""

from __future__ import annotations

from typing import Final

from pydicom import Dataset

from models.volume import Provenance
from service.contouring.structure_names import Code, Roi

MODEL_NAME: Final = "Delineate"

_CLASSICAL_MODELS: Final = frozenset({"external"})

ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
MORPHOLOGICAL_OPERATIONS: Final = Code("123104", "DCM", "Morphological Operations")


def roi_item(number: int, name: str, description: str, made_by: Provenance) -> Dataset:
    """An item of the Structure Set ROI Sequence (3006,0020), but for its frame of reference."""
    item = Dataset()
    item.ROINumber = number
    item.ROIName = name
    item.ROIDescription = description
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = f"{made_by.model} {made_by.version}, sha256 {made_by.sha256[:16]}"[:64]
    item.ROIDerivationAlgorithmIdentificationSequence = [_algorithm(made_by)]
    return item


def _algorithm(made_by: Provenance) -> Dataset:
    """Algorithm Identification Macro (PS3.3 Table 10-19), its family from CID 7162."""
    parameters = {
        "sha256": made_by.sha256,
        "device": made_by.device,
        "precision": made_by.precision,
        "mode": made_by.mode,
    }
    if made_by.steps_down:
        parameters["steps_down"] = " ".join(made_by.steps_down)
    item = Dataset()
    item.AlgorithmName = made_by.model
    item.AlgorithmVersion = made_by.version
    item.AlgorithmFamilyCodeSequence = [
        _concept(MORPHOLOGICAL_OPERATIONS if made_by.model in _CLASSICAL_MODELS else ARTIFICIAL_INTELLIGENCE)
    ]
    item.AlgorithmSource = MODEL_NAME
    item.AlgorithmParameters = ",".join(f"{key}={value}" for key, value in parameters.items())
    return item


def observation_item(number: int, roi: Roi, name: str) -> Dataset:
    """An item of the RT ROI Observations Sequence (3006,0080)."""
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.ROIObservationLabel = name  # retired, and what older systems show
    item.RTROIInterpretedType = roi.known.interpreted_type
    item.ROIInterpreter = ""
    if roi.known.code is not None:
        identification = _concept(roi.known.code)
        if roi.known.laterality is not None:
            identification.SegmentedPropertyTypeModifierCodeSequence = [_concept(roi.known.laterality.value)]
        item.SegmentedPropertyCategoryCodeSequence = [_concept(roi.known.category)]
        item.RTROIIdentificationCodeSequence = [identification]
    return item


def _concept(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item
