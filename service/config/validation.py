"""The tree of the file made into a ``Site``, or every reason why it cannot be, in words."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from service.config.document import Document
from service.config.field_types import NOT_REPEATED
from service.config.mistakes import KeyPath, Mistake, did_you_mean, key_text, listed
from service.config.plain_text import EMPTY
from service.config.schema import allowed_at, keys_at, schema_at
from service.config.site import Site
from service.config.yaml_traps import comment_hint

_LONGEST_QUOTE: Final = 60
_PASSWORD_OF_URL: Final = re.compile(r"(://[^:@/]*):.*@")
_BARE: Final = re.compile(r"[\w./-]+")
_PLAINLY: Final = {
    "int_type": ", plainly written: no quotes, no leading zeros",
    "float_type": ", plainly written: no quotes, no leading zeros",
    "bool_type": ", without quotes",
}


def validated_site(document: Document) -> tuple[Site | None, list[Mistake]]:
    """The site, or None and its mistakes; those of criteria are left to ``consistency``."""
    try:
        return Site.model_validate(document.tree), []
    except ValidationError as error:
        by_path: dict[KeyPath, Mistake] = {}
        for detail in error.errors(include_url=False):
            path = _path(document, detail)
            if not _of_criterion(path):
                by_path.setdefault(
                    path, Mistake(document.line(path), key_text(path), _sentence(document, detail, path))
                )
        return None, list(by_path.values())


def _path(document: Document, detail: ErrorDetails) -> KeyPath:
    """The error's place in the file: pydantic adds the names of alternatives and ``[key]``."""
    path = tuple(detail["loc"])
    if detail["type"] == "missing":
        return path
    while path and path not in document.lines:
        path = path[:-1]
    return path


def _of_criterion(path: KeyPath) -> bool:
    return len(path) > 3 and path[0] == "routes" and path[2] in ("when", "unless")


def _sentence(document: Document, detail: ErrorDetails, path: KeyPath) -> str:
    if detail["type"] == "missing":
        return f"is missing; allowed: {allowed_at(path)}"
    if detail["type"] == "extra_forbidden":
        names = keys_at(path[:-1])
        return f"unknown key{did_you_mean(str(path[-1]), names)}; allowed: {listed(names)}"
    if detail["loc"][-1] == "[key]":
        return f"found '{path[-1]}'; allowed: {_allowed_key(path)}"
    return _value_sentence(document, detail, path)


def _value_sentence(document: Document, detail: ErrorDetails, path: KeyPath) -> str:
    value = detail["input"]
    reason = detail.get("ctx", {}).get("error")
    allowed = str(reason) if reason is not None else allowed_at(path)
    if value is EMPTY:
        _, sign, comment = document.source_at(path).partition(" #")
        hint = comment_hint(comment) if sign else ""
        return f"found nothing{hint}; allowed: {allowed}"
    if schema_at(path).get(NOT_REPEATED):
        return f"holds something else than it may, which is not repeated here; allowed: {allowed}"
    if detail["type"] == "too_short":
        return "lists nothing; allowed: at least one"
    near = did_you_mean(value, schema_at(path).get("enum", ())) if isinstance(value, str) else ""
    plainly = _PLAINLY.get(detail["type"], "")
    if detail["type"] == "list_type" and isinstance(value, str):
        plainly = f"; write [{value}]" if _BARE.fullmatch(value) else f'; write ["{value}"]'
    return f"found {_shown(value)}{near}; allowed: {allowed}{plainly}"


def _allowed_key(path: KeyPath) -> str:
    return str(schema_at(path[:-1]).get("propertyNames", {}).get("patternErrorMessage", "another name"))


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever the file holds
    if isinstance(value, str):
        value = _PASSWORD_OF_URL.sub(r"\1:...@", value)
        text = value if len(value) <= _LONGEST_QUOTE else value[:_LONGEST_QUOTE] + "..."
        return f"'{text}'"
    if isinstance(value, list):
        return "a list"
    return "a section" if isinstance(value, dict) else str(value)
