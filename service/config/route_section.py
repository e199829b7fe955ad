"""What ``config.yaml`` says of routes: which CT gets which contours."""

from __future__ import annotations

from pydantic import Field

from service.config.field_types import RouteMode, SendAgain, Text64
from service.config.section import Section


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
        default="send_same",
        description="the same series arrives again: ignore, send_same or contour_again; if its images were "
        "purged meanwhile, send_same contours them anew, since nothing is left to compare them with",
    )
