"""What a model from elsewhere says of one CT: fields on the CT's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.volume import StructureField


@dataclass(frozen=True, slots=True)
class FieldAnswer:
    """Fields by output name on the CT's grid, and what they were made on.

    Attributes:
        fields: only of outputs that were found.
        finite: False if the model gave NaN or infinity anywhere.
        steps_down: what was given up to fit into memory, or to have numbers at all.
        device, precision: what it ran on at last.
    """

    fields: Mapping[str, StructureField]
    finite: bool
    steps_down: tuple[str, ...]
    device: str
    precision: str
