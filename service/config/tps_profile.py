"""What ``config.yaml`` may say of how structure sets are written for a kind of receiver.

Every key has its sentence here; the reference and the editors' schema are generated from it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from service.config.field_types import Color
from service.config.section import Section

BuiltIn = Literal["generic", "eclipse", "raystation", "monaco", "pinnacle", "mim"]
BUILT_IN: Final[tuple[str, ...]] = ("generic", "eclipse", "raystation", "monaco", "pinnacle", "mim")
Holes = Literal["keyhole", "xor", "rings"]
TransferSyntax = Literal["implicit", "explicit"]
Alphabet = Literal["charset", "ascii", "identifier"]
Points = Annotated[int, Field(ge=50, le=1_000_000)]


class ProfileRules(Section):
    """Rules that differ from the profile's own; what is absent stays as it is there."""

    transfer_syntax: TransferSyntax | None = Field(
        default=None, description="implicit or explicit VR, little endian"
    )
    holes: Holes | None = Field(
        default=None,
        description="a channel of no width (keyhole), CLOSEDPLANAR_XOR (xor), or a closed contour within "
        "another (rings)",
    )
    name_characters: int | None = Field(default=None, ge=6, le=16, description="longest ROI name")
    alphabet: Alphabet | None = Field(
        default=None,
        description="letters of names: all of the CT's character set (charset), ascii, or A-Z a-z 0-9 _ - "
        "alone (identifier)",
    )
    ignore_case: bool | None = Field(
        default=None, description="true: names that differ in case alone are the same and get a number"
    )
    label_characters: int | None = Field(default=None, ge=12, le=16, description="longest StructureSetLabel")
    points_per_contour: Points | None = Field(
        default=None, description="most points of one contour; more are simplified away"
    )
    points_per_set: Points | None = Field(
        default=None, description="most points of the whole set; more are simplified away"
    )
    tolerance_mm: float | None = Field(
        default=None, ge=0, le=1, description="how far every contour may move to save points"
    )
    colors: dict[str, Color] = Field(
        default_factory=dict, description="display colours by structure, before those of the protocol"
    )
    predecessor: bool | None = Field(
        default=None, description="write the Predecessor Structure Set Sequence (3006,0018)"
    )
    needs_patient_name: bool | None = Field(
        default=None, description="refuse a CT without Patient Name or Patient ID"
    )
    axial_only: bool | None = Field(default=None, description="refuse a CT whose slices are not axial")
    head_first_supine: bool | None = Field(
        default=None, description="warn in the set if the patient lies otherwise than head first and supine"
    )


class TpsProfile(ProfileRules):
    """A site's own profile: one that ships, and what differs from it."""

    based_on: BuiltIn = Field(default="generic", description="the profile whose other rules hold")
