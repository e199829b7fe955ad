"""YAML into frozen dataclasses, key for field: a foreign key, or a value of another type, is refused by name.

Cards of bundles and recipes are read here. The type hints of a dataclass are the format: ``tuple`` is a list,
``Mapping`` a mapping with text for keys, ``A | None`` may be ``null``, ``Literal`` is a choice of words.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

Section = TypeVar("Section")


class SectionInvalid(ValueError):
    """What a file says does not fit its format; the message names the key and what belongs there."""


class _Loader(yaml.SafeLoader):
    """Reads ``1e-4`` as the number it is in YAML 1.2, not as a word."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def plain(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """With lists for tuples: YAML and JSON know no other."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def parsed(text: str) -> Any:  # noqa: ANN401 - whatever the text says
    """What a YAML text says, in plain Python values.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader


def section(kind: type[Section], value: Any, where: str) -> Section:  # noqa: ANN401
    """``value`` as YAML gives it, made into the dataclass ``kind``; ``where`` names it in a refusal.

    Raises:
        SectionInvalid: a key is missing, foreign or of the wrong type, or the dataclass refuses a value.
    """
    read: Section = _section(kind, value, where)
    return read


def _read(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    if is_dataclass(kind) and isinstance(kind, type):
        return _section(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value, where)
    if origin is Literal:
        return _expect(value in arguments, value, where, f"one of {', '.join(map(str, arguments))}")
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is Mapping:
        _expect(isinstance(value, dict), value, where, "a mapping")
        return {str(key): _read(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _scalar(kind, value, where)


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:  # noqa: ANN401
    """The first kind that fits; else the refusal that looked deepest, or all of them."""
    if value is None and type(None) in kinds:
        return None
    refusals: list[str] = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _read(kind, value, where)
        except SectionInvalid as error:
            refusals.append(str(error))
    deep = [refusal for refusal in refusals if not refusal.startswith(f"{where} must")]
    raise SectionInvalid(deep[-1] if deep else " Or: ".join(refusals))


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:  # noqa: ANN401
    _expect(isinstance(value, list), value, where, "a list")
    if kinds[-1] is Ellipsis:
        return tuple(_read(kinds[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    _expect(len(value) == len(kinds), value, where, f"{len(kinds)} values")
    pairs = zip(kinds, value, strict=True)
    return tuple(_read(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(pairs))


def _scalar(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401
    if kind is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), value, where, "a number")
        return float(value)
    if kind is Any:
        return value
    return _expect(type(value) is kind or kind is Path, value, where, f"of type {kind.__name__}")


def _section(kind: type[Any], value: Any, where: str) -> Any:  # noqa: ANN401
    _expect(isinstance(value, dict), value, where, "a mapping")
    allowed = {item.name: item for item in fields(kind)}
    foreign = sorted(str(key) for key in set(value) - set(allowed))
    _expect(not foreign, foreign, where, f"made of the keys {', '.join(allowed)}")
    needed = [n for n, item in allowed.items() if item.default is MISSING and item.default_factory is MISSING]
    missing = [name for name in needed if name not in value]
    _expect(not missing, missing, where, "complete: these keys are missing")
    hints = typing.get_type_hints(kind)
    read = {name: _read(hints[name], value[name], f"{where}.{name}") for name in value}
    try:
        return kind(**read)
    except SectionInvalid:
        raise
    except ValueError as error:
        raise SectionInvalid(f"{where}: {error}") from error


def _expect(right: bool, value: Any, where: str, what: str) -> Any:  # noqa: ANN401
    if not right:
        raise SectionInvalid(f"{where} must be {what}; found {value!r}.")
    return value
