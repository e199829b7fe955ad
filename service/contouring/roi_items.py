"""What a structure set says of one ROI besides its contours: name, origin, anatomy, type."""

from __future__ import annotations

from typing import Final

import highdicom
from pydicom import Dataset
from pydicom.sr.codedict import codes

from models.volume import Provenance
from service.contouring.set_texts import DERIVED
from service.contouring.structure_names import Code, Roi

MODEL_NAME: Final = "Delineate"

_CLASSICAL_MODELS: Final = frozenset({"external", DERIVED})


def roi_item(number: int, name: str, description: str, made_by: Provenance) -> Dataset:
    """An item of the Structure Set ROI Sequence (3006,0020), but for its frame of reference."""
    item = Dataset()
    item.ROINumber = number
    item.ROIName = name
    item.ROIDescription = description
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = f"{made_by.model} {made_by.version}, sha256 {made_by.sha256[:16]}"[:64]
    item.ROIDerivationAlgorithmIdentificationSequence = algorithm_of(made_by)
    if made_by.model == DERIVED:
        operations = codes.cid7162.MorphologicalOperations
        item.DerivationCodeSequence = [
            highdicom.sr.CodedConcept(operations.value, operations.scheme_designator, operations.meaning)
        ]
    return item


def algorithm_of(made_by: Provenance) -> highdicom.AlgorithmIdentificationSequence:
    """Algorithm Identification Macro (PS3.3 Table 10-19), its family from CID 7162."""
    family = codes.cid7162
    is_classical = made_by.model in _CLASSICAL_MODELS
    parameters = {
        "sha256": made_by.sha256,
        "device": made_by.device,
        "precision": made_by.precision,
        "mode": made_by.mode,
    }
    if made_by.runtime:
        parameters["runtime"] = made_by.runtime
    if made_by.steps_down:
        parameters["steps_down"] = " ".join(made_by.steps_down)
    return highdicom.AlgorithmIdentificationSequence(
        name=made_by.model,
        family=family.MorphologicalOperations if is_classical else family.ArtificialIntelligence,
        version=made_by.version,
        source=MODEL_NAME,
        parameters=parameters,
    )


def observation_item(number: int, roi: Roi, name: str) -> Dataset:
    """An item of the RT ROI Observations Sequence (3006,0080)."""
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.ROIObservationLabel = name  # retired, and what older systems show
    item.RTROIInterpretedType = roi.known.interpreted_type
    item.ROIInterpreter = ""
    if roi.known.code is not None:
        identification = concept_of(roi.known.code)
        if roi.known.laterality is not None:
            identification.SegmentedPropertyTypeModifierCodeSequence = [
                concept_of(roi.known.laterality.value)
            ]
        item.SegmentedPropertyCategoryCodeSequence = [concept_of(roi.known.category)]
        item.RTROIIdentificationCodeSequence = [identification]
    return item


def concept_of(code: Code) -> highdicom.sr.CodedConcept:
    """The code as an item of a sequence."""
    return highdicom.sr.CodedConcept(code.value, code.scheme, code.meaning)
