"""What ``config.yaml`` says of protocols and of the routes that lead to them."""

from __future__ import annotations

from pydantic import Field

from service.config.field_types import Color, ModelReference, RouteMode, SendAgain, Text16, Text64
from service.config.section import Section


class Structure(Section):
    """How one structure is written."""

    color: Color | None = Field(default=None, description='display colour, "#rrggbb" in quotes')
    name: Text16 | None = Field(default=None, description="ROI name, if not the TG-263 one")
    holes: bool | None = Field(
        default=None, description="keep holes; if absent the structure's own rule holds"
    )


class Protocol(Section):
    """A model and what of it is sent."""

    model: ModelReference = Field(description="bundle and version, e.g. pelvis-ct@2.0")
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


class Presence(Section):
    """Matches by presence alone."""

    absent: bool = Field(description="true: missing or empty; false: there, whatever it says")


Single = str | int | float | Presence
Criterion = Single | list[Single]


class Route(Section):
    """Which CT gets which contours. Every route that matches applies."""

    name: Text64 = Field(description="for people; no two routes share one")
    when: dict[str, Criterion] = Field(
        default_factory=dict,
        description="called_ae, calling_ae or DICOM keywords, all must match; none: every series matches",
    )
    unless: dict[str, Criterion] = Field(
        default_factory=dict, description="the route does not apply if any of these matches"
    )
    contour: str | list[str] = Field(description="protocol or protocols")
    send_to: list[str] = Field(default_factory=list, description="destinations, or `sender`")
    mode: RouteMode = Field(description="send, hold for release, shadow (contour, send nothing) or off")
    priority: int = Field(default=100, ge=1, le=1000, description="1 runs first")
    when_sent_again: SendAgain = Field(
        default="send_same", description="the same series arrives again: ignore, send_same or contour_again"
    )
