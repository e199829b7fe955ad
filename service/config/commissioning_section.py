"""What ``evaluation.commissioning`` and ``evaluation.alarm`` may say: limits, and when a drift is told."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.config.field_types import ALLOWED
from service.config.section import Section

ChartedMeasure = Literal[
    "dsc", "surface_dsc", "contours_untouched", "worst_slice_dsc", "hd95_mm", "assd_mm", "added_path_mm"
]
_DAY_SAYS: Final = "a day such as 2026-01-07"


def _day(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError as error:
        message = _DAY_SAYS
        raise ValueError(message) from error
    return value


Day = Annotated[
    str,
    AfterValidator(_day),
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={ALLOWED: _DAY_SAYS}),
]
"""A day of the calendar, in the node's time zone."""


class Commissioning(Section):
    """The cases that say what is usual; each structure, protocol and model version has its own."""

    cases: int = Field(
        default=30, ge=10, le=1000, description="the first so many reviewed cases, unless there are days"
    )
    from_day: Day | None = Field(default=None, description="cases that were reviewed from this day on")
    until_day: Day | None = Field(
        default=None, description="and before this day; a model version that had none takes its first cases"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_day is not None and self.until_day is not None and self.from_day >= self.until_day:
            message = "`from_day` before `until_day`"
            raise ValueError(message)
        return self


class DriftAlarm(Section):
    """When a structure counts as drifting: the moving average of its cases' ranks leaves its limit."""

    measure: ChartedMeasure = Field(default="dsc", description="what is watched")
    weight: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="of the newest case in the moving average; larger: quicker and coarser",
    )
    width: float = Field(
        default=3.0, ge=1, le=10, description="standard deviations to its limit; larger: fewer false alarms"
    )
