"""What all sections of the file share: known keys only, nothing guessed, nothing changed after reading."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from service.config.plain_text import EMPTY, is_null, number, truth, whole_number


class Section(BaseModel):
    """A mapping of known keys. Unquoted text becomes a number or a truth value where the key wants one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        annotations = {name: field.annotation for name, field in cls.model_fields.items()}
        return {key: _fitted(value, annotations.get(key)) for key, value in values.items()}


def _fitted(value: object, wanted: Any) -> object:  # noqa: ANN401 - an annotation
    """``value`` as the annotation ``wanted`` needs it; what does not fit is left for pydantic to refuse."""
    kinds = _alternatives(wanted)
    nothing = value is EMPTY or is_null(value)
    if is_null(value) and type(None) in kinds:
        return None
    for kind, convert in ((bool, truth), (int, whole_number), (float, number)):
        if kind in kinds:
            return convert(value)
    if _is_section(wanted):
        return {} if nothing else value
    origin = typing.get_origin(wanted)
    items = _alternatives(typing.get_args(wanted)[-1]) if origin in (dict, list) else ()
    if origin is dict and float in items and isinstance(value, dict):
        return {key: number(item) for key, item in value.items()}
    if not items or not all(_is_section(kind) or kind is type(None) for kind in items):
        return value
    if nothing:
        return origin()
    if isinstance(value, dict):
        empty: object = None if type(None) in items else {}
        return {key: empty if item is EMPTY or is_null(item) else item for key, item in value.items()}
    return value


def _alternatives(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """``int`` and ``None`` for ``Annotated[int, ...] | None``."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    parts = typing.get_args(annotation) if union else (annotation,)
    return tuple(part.__origin__ if hasattr(part, "__metadata__") else part for part in parts)


def _is_section(kind: Any) -> bool:  # noqa: ANN401
    return isinstance(kind, type) and issubclass(kind, Section)
