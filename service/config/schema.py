"""The JSON Schema of the file: what editors check while one types, and the words for what a key allows."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from service.config.field_types import ALLOWED
from service.config.mistakes import KeyPath, listed
from service.config.site import Site

SCHEMA_FILE: Final = "docs/config.schema.json"
_CRITERION: Final = (
    'a text with wildcards * and ?, "!..." for anything else, a list of these (any of them), '
    'a range such as "<=5" or "2..5" for numbers, or {absent: true}'
)
_LIMITS: Final = {
    "minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below",
}  # fmt: skip


@cache
def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``config.yaml``."""
    schema = Site.model_json_schema()
    _tidy(schema)
    for name in ("when", "unless"):
        criteria = schema["$defs"]["Route"]["properties"][name]
        criteria["propertyNames"] = {"pattern": "^(called_ae|calling_ae|[A-Z][A-Za-z0-9]*)$"}
        criteria["additionalProperties"][ALLOWED] = _CRITERION
        criteria["additionalProperties"]["description"] = _CRITERION
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Delineate configuration",
        "description": "The administrator's file of a Delineate node.",
    }
    return head | {key: value for key, value in schema.items() if key != "description"}


def json_schema_text() -> str:
    """The schema as it stands in ``docs/config.schema.json``."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _tidy(node: Any) -> None:  # noqa: ANN401 - any JSON value
    """No titles that repeat the keys, and no names that do not fit their pattern."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        if "patternProperties" in node:
            node["additionalProperties"] = False
        for value in node.values():
            _tidy(value)
    elif isinstance(node, list):
        for value in node:
            _tidy(value)


def schema_at(path: KeyPath) -> dict[str, Any]:
    """The part of the schema that speaks of ``path``; empty where the schema knows no such key."""
    node = json_schema()
    for step in path:
        node = _resolved(node)
        if isinstance(step, int):
            node = node.get("items", {})
        elif step in node.get("properties", {}):
            node = node["properties"][step]
        else:
            patterns = list(node.get("patternProperties", {}).values())
            node = patterns[0] if patterns else node.get("additionalProperties") or {}
    return _resolved(node)


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    """``node`` without its reference and without the alternative ``null``."""
    if "$ref" in node:
        definition: dict[str, Any] = json_schema()["$defs"][node["$ref"].rpartition("/")[2]]
        return _resolved(definition)
    choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        return _resolved(choices[0] | {key: value for key, value in node.items() if key != "anyOf"})
    return node


def keys_at(path: KeyPath) -> tuple[str, ...]:
    """The keys that the section at ``path`` knows."""
    return tuple(schema_at(path).get("properties", ()))


def allowed_at(path: KeyPath) -> str:
    """What may stand at ``path``, in words."""
    return allowed(schema_at(path))


def allowed(node: dict[str, Any]) -> str:
    """What ``node`` of the schema allows, in words."""
    if ALLOWED in node:
        return str(node[ALLOWED])
    if "enum" in node:
        return listed(node["enum"])
    if "anyOf" in node:
        return listed(allowed(_resolved(choice)) for choice in node["anyOf"])
    kind = node.get("type")
    if kind in ("integer", "number"):
        return _number(node)
    if kind == "array":
        return f"a list, each entry {allowed(_resolved(node['items']))}"
    if kind == "object" and "properties" in node:
        return f"the keys {', '.join(node['properties'])}"
    if kind == "object":
        return "a section: a key on each line, indented below this one"
    return {"boolean": "true or false", "string": "a text"}.get(str(kind), "nothing known")


def _number(node: dict[str, Any]) -> str:
    noun = "a whole number" if node["type"] == "integer" else "a number"
    limits = [f"{word} {node[key]:g}" for key, word in _LIMITS.items() if key in node]
    return " ".join([noun, *limits])
