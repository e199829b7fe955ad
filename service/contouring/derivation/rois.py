"""How derived structures are written: names, types, colours, and what is said of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from service.config.derivation import DerivedStructure
from service.config.protocol import Protocol
from service.contouring.derivation.words import in_words
from service.contouring.structure_names import (
    Code,
    Roi,
    StructureName,
    color_of_text,
    roi_name,
    rois_of,
    structure_named,
)

_PRV: Final = re.compile(r"_PRV\d*(_[LR])?$")
_DOSE_CALCULATION: Final = Code("130042", "DCM", "RT Dose Calculation Structure")
_PLANNING_RISK: Final = Code("130057", "DCM", "Planning Organ At Risk Volume")
_CUTTING: Final = ("ring", "difference", "away_from", "intersection", "inside")


def all_rois(protocol: Protocol) -> tuple[Roi, ...]:
    """The ROIs that a protocol asks for, in its order, and after them those that are made of others."""
    rois = list(rois_of(protocol))
    taken = {roi.name.casefold() for roi in rois}
    for name, made in protocol.derived.items():
        if made.send:
            known = known_of(name, made)
            written = roi_name(made.name or name, taken)
            taken.add(written.casefold())
            color = known.color if made.color is None else color_of_text(made.color)
            rois.append(Roi(name, written, color, _keeps_holes(made, known), known, _remarks(made)))
    return tuple(rois)


def known_of(name: str, made: DerivedStructure) -> StructureName:
    """What is known of a derived structure, by its name and by how it is made.

    A planning risk volume says so by its code (PS3.16 CID 9535); what has a name of its own in the list of
    structures, such as Bag_Bowel, is that. A name that begins with z is an aid, whatever it is made of.
    """
    known = structure_named(name)
    kind = known.interpreted_type
    if _PRV.search(name):
        known = replace(known, code=_PLANNING_RISK, category=_DOSE_CALCULATION)
        kind = "AVOIDANCE"
    elif name.startswith("z") or any(step.ring is not None for step in made.in_order):
        kind = "CONTROL"
    return replace(known, interpreted_type=made.type or kind)


def _keeps_holes(made: DerivedStructure, known: StructureName) -> bool:
    """What was cut out of it is no fault of a segmentation."""
    if made.holes is not None:
        return made.holes
    cut = any(getattr(step, key) is not None for step in made.in_order for key in _CUTTING)
    return cut or known.keeps_holes


def _remarks(made: DerivedStructure) -> tuple[str, ...]:
    own = () if made.description is None else (f"{made.description.rstrip('.')}.",)
    return (*own, f"Derived from {in_words(made)}.")
