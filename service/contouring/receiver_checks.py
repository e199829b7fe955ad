"""What one kind of receiver does not take, and what is said in a set for it: by the rules of its profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from service.contouring.ct_series import CtSeries
from service.contouring.point_budget import TOO_MANY_POINTS
from service.contouring.profiles import Profile
from service.contouring.rt_structure_set import PATIENT_UNNAMED
from service.contouring.structure_names import Roi, color_of_text
from service.dicom.element_encoder import value_bytes
from service.errors import StructureSetInvalid

NOT_AXIAL: Final = "structure-set.not-axial"
"""Code of the refusal where a receiver takes axial slices alone."""

OF_THE_RECEIVER: Final = frozenset({PATIENT_UNNAMED, NOT_AXIAL, TOO_MANY_POINTS})
"""Refusals of one kind of receiver: others may get their sets."""

_AXIAL_DEGREES: Final = 0.1
_WORTH_A_SENTENCE_MM: Final = 0.1
_POSITION: Final = "HFS"


def refuse_slices(series: CtSeries, profile: Profile) -> None:
    """Refuse a CT that the receiver would not take.

    Raises:
        StructureSetInvalid: its slices are not axial, and must be.
    """
    tilt = float(np.degrees(np.arccos(min(abs(float(series.grid.normal[2])), 1.0))))
    if profile.axial_only and tilt > _AXIAL_DEGREES:
        raise StructureSetInvalid(
            NOT_AXIAL,
            f"The slices are {tilt:.1f} degrees off the axial plane, and {profile.name} takes axial ones "
            "alone. Reconstruct the CT in axial planes, or set axial_only: false after a test.",
        )


def notes_of(series: CtSeries, profile: Profile, moved_mm: float) -> tuple[str, ...]:
    """What people must be told in a set for this receiver; ``moved_mm``: of contours, to save points."""
    notes = []
    position = value_bytes(series.header, "PatientPosition").decode("ascii", "replace").strip()
    if profile.head_first_supine and position not in (_POSITION, ""):
        notes.append(
            f"The patient position is {position}, and {profile.name} is prone to error with others than "
            f"{_POSITION}: check left and right, head and feet in the treatment planning system."
        )
    if moved_mm >= _WORTH_A_SENTENCE_MM:
        notes.append(f"Contours were simplified by up to {moved_mm:.2f} mm to save points.")
    return tuple(notes)


def colored(rois: Sequence[Roi], profile: Profile) -> tuple[Roi, ...]:
    """The ROIs in the colours of the profile, where it names any."""
    colors = profile.colors
    return tuple(
        replace(roi, color=color_of_text(colors[roi.structure])) if roi.structure in colors else roi
        for roi in rois
    )
