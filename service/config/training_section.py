"""What ``evaluation.training`` may say: whose CT may become training data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from service.config.field_types import FileName
from service.config.section import Section


class TrainingConsent(Section):
    """Whose approved cases `delineate data from-node` may take: nobody's, unless it is said here."""

    consent: Literal["none", "all", "listed"] = Field(
        default="none", description="nobody (none), every patient (all), or those in `consent_file` (listed)"
    )
    consent_file: FileName | None = Field(
        default=None, description="file with a Patient ID on each line; relative to this file"
    )

    @model_validator(mode="after")
    def _listed_in_a_file(self) -> Self:
        if (self.consent == "listed") != (self.consent_file is not None):
            message = "`consent: listed` and `consent_file` go together"
            raise ValueError(message)
        return self
