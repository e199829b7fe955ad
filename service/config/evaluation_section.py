"""What the section ``evaluation:`` may say: how structure sets that come back are compared and graded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from service.config.commissioning_section import Commissioning, DriftAlarm
from service.config.field_types import ALLOWED, Name, Text64
from service.config.section import Section
from service.config.training_section import TrainingConsent

Measure = Literal[
    "dsc",
    "jaccard",
    "hd95_mm",
    "assd_mm",
    "msd_mm",
    "surface_dsc",
    "added_path_mm",
    "volume_cm3",
    "reviewed_volume_cm3",
    "centroid_shift_mm",
    "slices_added_superior",
    "slices_removed_superior",
    "slices_added_inferior",
    "slices_removed_inferior",
    "slices_in_common",
    "contours_untouched",
    "worst_slice_dsc",
]
TimeOfDay = Annotated[
    str,
    StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    Field(json_schema_extra={ALLOWED: "a time of day such as 03:00"}),
]
Tolerance = Annotated[float, Field(gt=0, le=50)]


class GradeLimits(Section):
    """What a structure must keep to be given a grade, all of it; an absent measure keeps nothing."""

    at_least: dict[Measure, float] = Field(
        default_factory=dict, description="smallest value of a measure, such as `surface_dsc: 0.95`"
    )
    at_most: dict[Measure, float] = Field(
        default_factory=dict, description="largest value of a measure, such as `hd95_mm: 3`"
    )


_ENDS = (
    "slices_added_superior",
    "slices_removed_superior",
    "slices_added_inferior",
    "slices_removed_inferior",
)


def _limits(surface_dsc: float, slices_at_an_end: int | None) -> GradeLimits:
    ends = {} if slices_at_an_end is None else dict.fromkeys(_ENDS, float(slices_at_an_end))
    return GradeLimits.model_validate({"at_least": {"surface_dsc": surface_dsc}, "at_most": ends})


class GradeRules(Section):
    """Limits of the grades. A structure is given the best one that it keeps, or else `not-acceptable`."""

    acceptable: GradeLimits = Field(
        default_factory=lambda: _limits(0.95, 1), description="may be used as it is"
    )
    minor: GradeLimits = Field(default_factory=lambda: _limits(0.85, 3), description="needs a few touches")
    major: GradeLimits = Field(
        default_factory=lambda: _limits(0.6, None), description="needs more work, and saved some"
    )


class ReviewQuery(Section):
    """Destinations that are asked by C-FIND, once a day, for structure sets of what we contoured."""

    destinations: list[Name] = Field(default_factory=list, description="whom to ask; none: nobody is asked")
    at: TimeOfDay = Field(default="03:00", description="when, in the zone of `node.timezone`")
    days: float = Field(default=30, gt=0, description="days since the CT was contoured that it is asked for")


class EvaluationSection(Section):
    """What becomes of structure sets that were edited and approved, and come back. Nothing is sent."""

    enabled: bool = Field(default=True, description="whether received structure sets are compared with ours")
    keep_days: float = Field(
        default=365, gt=0, description="days a reviewed structure set stays on disk; what was measured stays"
    )
    tolerance_mm: Tolerance = Field(
        default=2.0, description="of the surface DSC, for structures without one of their own"
    )
    tolerances_mm: dict[Text64, Tolerance] = Field(
        default_factory=dict, description="of the surface DSC, by structure"
    )
    untouched_mm: Tolerance = Field(
        default=0.2,
        description="a contour is untouched if no point of either outline is farther from the other",
    )
    synonyms: dict[Text64, list[Text64]] = Field(
        default_factory=dict, description="further ROI names by structure, such as `Bladder: [Blase]`"
    )
    grades: GradeRules = Field(default_factory=GradeRules, description="rules of the estimated grade")
    query: ReviewQuery = Field(default_factory=ReviewQuery, description="asking destinations at night")
    commissioning: Commissioning = Field(
        default_factory=Commissioning, description="the cases that say what is usual, for limits"
    )
    alarm: DriftAlarm = Field(default_factory=DriftAlarm, description="when a structure counts as drifting")
    training: TrainingConsent = Field(
        default_factory=TrainingConsent, description="whose CT may become training data"
    )
