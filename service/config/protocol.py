"""What ``config.yaml`` may say of protocols: models, what of them is sent, what is made of it.

Every key has its sentence here; the reference and the editors' schema are generated from it.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from service.config.derivation import DerivedStructure
from service.config.field_types import Color, ModelReference, Text16, Text64
from service.config.second_look_section import SecondLook
from service.config.section import Section


class Structure(Section):
    """How one structure is written."""

    color: Color | None = Field(default=None, description='display colour, "#rrggbb" in quotes')
    name: Text16 | None = Field(default=None, description="ROI name, if not the TG-263 one")
    holes: bool | None = Field(
        default=None, description="keep holes; if absent the structure's own rule holds"
    )
    second_look: SecondLook = Field(
        default_factory=dict,
        description="what becomes of findings about this structure, before what the protocol says",
    )


class ModelOfSeveral(Section):
    """One of several models of a protocol."""

    model: ModelReference = Field(description="bundle and version, e.g. pelvis-ct@2.0")
    structures: list[str] = Field(
        default_factory=list,
        description="those that this model gives and no other; "
        "without this key it gives what it offers and no model before it gives",
    )
    if_refused: Literal["refuse", "leave_out"] = Field(
        default="refuse",
        description="this model refuses the CT: the whole set is refused, or its structures are left out and "
        "the set says so; no other model takes its place",
    )


class Protocol(Section):
    """A model, or several, and what of them is sent."""

    model: ModelReference | None = Field(
        default=None, description="bundle and version, e.g. pelvis-ct@2.0; or `models`"
    )
    models: list[ModelOfSeveral] = Field(
        default_factory=list, description="several models whose structures go into one set"
    )
    shadow: ModelReference | None = Field(
        default=None,
        description="a candidate for `model` that contours the same CTs in its shadow: measured, never sent",
    )
    label: Text16 = Field(default="AI contours", description="StructureSetLabel")
    series_description: Text64 | None = Field(
        default=None, description="SeriesDescription; if absent, the label and the model"
    )
    allow_unvalidated: bool = Field(
        default=False,
        description="run a model whose card says synthetic data only; the set then says NOT FOR CLINICAL USE",
    )
    structures: dict[str, Structure | None] = Field(
        default_factory=dict,
        min_length=1,
        description="TG-263 names in ROI order, what is not listed is not sent; "
        "without this key every structure of the model",
    )
    derived: dict[str, DerivedStructure] = Field(
        default_factory=dict,
        description="structures made of others, by name; in ROI order they come after the others",
    )
    second_look: SecondLook = Field(
        default_factory=dict,
        description="what becomes of findings, by code or group: ignore, nobody is told; note, told; hold, "
        "the set waits for a person; stop, the structure is left out (docs/second-look.md)",
    )

    @model_validator(mode="after")
    def _model_or_models(self) -> Self:
        if (self.model is None) == (not self.models):
            message = "either `model` or `models`"
            raise ValueError(message)
        if self.shadow is not None and self.shadow == self.model:
            message = "`shadow` names the model itself; a candidate is another one"
            raise ValueError(message)
        if self.shadow is not None and self.model is None:
            message = "`shadow` stands beside `model`, not beside `models`"
            raise ValueError(message)
        return self

    @property
    def uses(self) -> tuple[ModelOfSeveral, ...]:
        """The models, the one of `model` too."""
        return tuple(self.models) if self.model is None else (ModelOfSeveral(model=self.model),)

    @property
    def needs(self) -> tuple[str, ...]:
        """Structures that the models must give: those that are sent, and what others are made of."""
        needed = [name for made in self.derived.values() for name in made.needs if name not in self.derived]
        return tuple(dict.fromkeys([*self.structures, *needed]))
