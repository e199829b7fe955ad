"""What ``config.yaml`` may say of structures that are made of others.

Every key has its sentence here; the reference and the editors' schema are generated from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from service.config.field_types import Color, Text16, Text200
from service.config.second_look_section import SecondLook
from service.config.section import Section

OPERATIONS: Final = (
    "union", "intersection", "difference", "margin", "margins", "ring", "inside", "away_from", "fill_holes",
    "smooth", "keep_largest",
)  # fmt: skip
DIRECTIONS: Final = ("R", "L", "A", "P", "S", "I")
_FARTHEST_MM: Final = 100.0


class Margins(Section):
    """A margin for each direction of the patient, mm: all outwards, or all inwards with a minus sign."""

    R: float = Field(default=0, ge=-_FARTHEST_MM, le=_FARTHEST_MM, description="to the patient's right, mm")
    L: float = Field(default=0, ge=-_FARTHEST_MM, le=_FARTHEST_MM, description="to the patient's left, mm")
    A: float = Field(default=0, ge=-_FARTHEST_MM, le=_FARTHEST_MM, description="to anterior, mm")
    P: float = Field(default=0, ge=-_FARTHEST_MM, le=_FARTHEST_MM, description="to posterior, mm")
    S: float = Field(default=0, ge=-_FARTHEST_MM, le=_FARTHEST_MM, description="to superior, mm")
    I: float = Field(  # noqa: E741 - the direction's name
        default=0, ge=-_FARTHEST_MM, le=_FARTHEST_MM, description="to inferior, mm"
    )

    @model_validator(mode="after")
    def _one_sign(self) -> Self:
        values = [getattr(self, direction) for direction in DIRECTIONS]
        if min(values) < 0 < max(values):
            message = "margins that are all outwards or all inwards; two steps for both"
            raise ValueError(message)
        if not any(values):
            message = "at least one margin that is not 0"
            raise ValueError(message)
        return self


class Ring(Section):
    """What lies about a structure between two distances."""

    inner: float = Field(
        default=0, ge=0, le=_FARTHEST_MM, description="where it begins, mm outside the surface"
    )
    outer: float = Field(gt=0, le=_FARTHEST_MM, description="where it ends, mm outside the surface")

    @model_validator(mode="after")
    def _outwards(self) -> Self:
        if self.outer <= self.inner:
            message = "an outer distance that is larger than the inner one"
            raise ValueError(message)
        return self


class Inside(Section):
    """Within another structure."""

    structure: str = Field(min_length=1, description="which one, such as External")
    mm: float = Field(default=0, ge=0, le=_FARTHEST_MM, description="least distance from its surface, mm")


class AwayFrom(Section):
    """Outside other structures."""

    structures: str | list[str] = Field(min_length=1, description="which one or ones")
    mm: float = Field(default=0, ge=0, le=_FARTHEST_MM, description="least distance from each, mm")


class Step(Section):
    """One step; exactly one of these keys."""

    union: list[str] | None = Field(default=None, min_length=1, description="add these structures")
    intersection: list[str] | None = Field(
        default=None, min_length=1, description="keep what lies in each of these structures"
    )
    difference: list[str] | None = Field(default=None, min_length=1, description="take these structures away")
    margin: float | None = Field(
        default=None,
        ge=-_FARTHEST_MM,
        le=_FARTHEST_MM,
        description="move the surface outwards by so many mm, inwards with a minus sign",
    )
    margins: Margins | None = Field(
        default=None, description="the same with its own distance for each direction of the patient"
    )
    ring: Ring | None = Field(default=None, description="what lies about it between two distances")
    inside: Inside | None = Field(default=None, description="keep what lies within another structure")
    away_from: AwayFrom | None = Field(
        default=None, description="keep what lies outside other structures, by a distance"
    )
    fill_holes: Literal["cavities", "slices"] | None = Field(
        default=None, description="fill what is closed on all sides (cavities), or on its slice (slices)"
    )
    smooth: float | None = Field(
        default=None, gt=0, le=20, description="take off detail smaller than so many mm; the volume stays"
    )
    keep_largest: Literal["piece"] | None = Field(
        default=None, description="`piece`: keep the largest connected piece alone"
    )

    def operations(self) -> list[str]:
        """The keys that are given, of those of a step."""
        return [name for name in OPERATIONS if getattr(self, name) is not None]

    def names(self) -> Iterator[str]:
        """Structures that this step refers to."""
        for listed in (self.union, self.intersection, self.difference):
            yield from listed or ()
        if self.inside is not None:
            yield self.inside.structure
        if self.away_from is not None:
            named = self.away_from.structures
            yield from [named] if isinstance(named, str) else named


class OneStep(Step):
    """One step: exactly one key."""

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if len(self.operations()) != 1:
            message = f"exactly one of {', '.join(OPERATIONS)} a step"
            raise ValueError(message)
        return self


class DerivedStructure(Step):
    """A structure that is made of others, in millimetres on the CT's own grid.

    One operation may stand in the section itself; several stand under ``steps``, in order.
    """

    of: str | list[str] = Field(
        min_length=1, description="the structure it is made of; several are united first"
    )
    steps: list[OneStep] = Field(default_factory=list, description="what is done, in order")
    send: bool = Field(default=True, description="false: only other structures are made of it")
    color: Color | None = Field(default=None, description='display colour, "#rrggbb" in quotes')
    name: Text16 | None = Field(default=None, description="ROI name, if not this one")
    holes: bool | None = Field(default=None, description="keep holes; false fills them in the contours")
    description: Text200 | None = Field(
        default=None, description="first sentence of the ROI Description (3006,0028)"
    )
    type: Literal["ORGAN", "AVOIDANCE", "CONTROL"] | None = Field(
        default=None,
        description="RT ROI Interpreted Type (3006,00A4); if absent AVOIDANCE for NAME_PRV..., CONTROL for "
        "rings and names that begin with z, else that of the structure",
    )
    largest_cm3: float | None = Field(
        default=None, gt=0, description="larger than this it is left out with a reason"
    )
    second_look: SecondLook = Field(
        default_factory=dict,
        description="what becomes of findings about it, before what the protocol says",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = self.operations()
        if len(given) > 1 or (given and self.steps):
            message = "one operation here, or several in order under steps"
            raise ValueError(message)
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """What it is made of at first."""
        return (self.of,) if isinstance(self.of, str) else tuple(self.of)

    @property
    def in_order(self) -> tuple[Step, ...]:
        """What is done, in order."""
        return tuple(self.steps) or ((self,) if self.operations() else ())

    @property
    def needs(self) -> tuple[str, ...]:
        """Every structure it refers to, each once."""
        further = [name for step in self.in_order for name in step.names()]
        return tuple(dict.fromkeys([*self.sources, *further]))


def cycle_in(needs: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of a cycle, the first one again at its end; empty if there is none.

    Args:
        needs: by derived structure, what it refers to; other names than the keys end there.
    """
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        if name in path:
            return (*path[path.index(name) :], name)
        if name in done or name not in needs:
            return ()
        for further in needs[name]:
            found = walk(further, (*path, name))
            if found:
                return found
        done.add(name)
        return ()

    return next((found for name in needs if (found := walk(name, ()))), ())


def in_order_of_need(needs: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The keys, each after those that it refers to; there must be no cycle."""
    order: dict[str, None] = {}

    def add(name: str) -> None:
        for further in needs[name]:
            if further in needs and further not in order:
                add(further)
        order[name] = None

    for name in needs:
        if name not in order:
            add(name)
    return tuple(order)
