"""The configuration reference, ``docs/configuration.md``: the rules in words, every key from the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from service.config.mistakes import KeyPath
from service.config.schema import allowed, schema_at

REFERENCE_FILE: Final = "docs/configuration.md"
_SECTIONS: Final[tuple[tuple[str, KeyPath], ...]] = (
    ("node", ("node",)),
    ("node.retention", ("node", "retention")),
    ("node.disk", ("node", "disk")),
    ("node.notify", ("node", "notify")),
    ("node.equipment", ("node", "equipment")),
    ("node.tls", ("node", "tls")),
    ("console", ("console",)),
    ("console.oidc", ("console", "oidc")),
    ("senders.AE_TITLE", ("senders", "AE_TITLE")),
    ("destinations.NAME", ("destinations", "NAME")),
    ("destinations.NAME.dicomweb", ("destinations", "NAME", "dicomweb")),
    ("destinations.NAME.retry", ("destinations", "NAME", "retry")),
    ("destinations.NAME.tls", ("destinations", "NAME", "tls")),
    ("destinations.NAME.commitment", ("destinations", "NAME", "commitment")),
    ("destinations.NAME.rules", ("destinations", "NAME", "rules")),
    ("archives.NAME", ("archives", "NAME")),
    ("archives.NAME.tls", ("archives", "NAME", "tls")),
    ("profiles.NAME", ("profiles", "NAME")),
    ("protocols.NAME", ("protocols", "NAME")),
    ("protocols.NAME.structures.STRUCTURE", ("protocols", "NAME", "structures", "STRUCTURE")),
    ("protocols.NAME.models", ("protocols", "NAME", "models", 0)),
    ("protocols.NAME.derived.STRUCTURE", ("protocols", "NAME", "derived", "STRUCTURE")),
    ("protocols.NAME.derived.STRUCTURE.steps", ("protocols", "NAME", "derived", "STRUCTURE", "steps", 0)),
    ("protocols.NAME.derived.STRUCTURE.margins", ("protocols", "NAME", "derived", "STRUCTURE", "margins")),
    ("protocols.NAME.derived.STRUCTURE.ring", ("protocols", "NAME", "derived", "STRUCTURE", "ring")),
    ("protocols.NAME.derived.STRUCTURE.inside", ("protocols", "NAME", "derived", "STRUCTURE", "inside")),
    (
        "protocols.NAME.derived.STRUCTURE.away_from",
        ("protocols", "NAME", "derived", "STRUCTURE", "away_from"),
    ),
    ("routes", ("routes", 0)),
    ("evaluation", ("evaluation",)),
    ("evaluation.grades", ("evaluation", "grades")),
    ("evaluation.grades.GRADE", ("evaluation", "grades", "acceptable")),
    ("evaluation.query", ("evaluation", "query")),
    ("evaluation.commissioning", ("evaluation", "commissioning")),
    ("evaluation.alarm", ("evaluation", "alarm")),
    ("evaluation.training", ("evaluation", "training")),
)
_RULES: Final = Path(__file__).with_name("reference.md")


def reference() -> str:
    """The whole document."""
    sections = [_section(title, path) for title, path in _SECTIONS]
    return "\n".join([_RULES.read_text(encoding="utf-8"), *sections])


def _section(title: str, path: KeyPath) -> str:
    node = schema_at(path)
    required = node.get("required", ())
    lines = [
        f"### `{title}`",
        "",
        node.get("description", ""),
        "",
        "| key | default | allowed | meaning |",
        "|---|---|---|---|",
    ]
    for key in node["properties"]:
        here = schema_at((*path, key))
        default = "**required**" if key in required else _default(node["properties"][key])
        cells = [f"`{key}`", default, _cell(allowed(here)), _cell(_meaning(node["properties"][key], here))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _meaning(written: dict[str, Any], resolved: dict[str, Any]) -> str:
    return str(written.get("description") or resolved.get("description", ""))


def _default(node: dict[str, Any]) -> str:
    value = node.get("default")
    return "" if value is None else f"`{json.dumps(value) if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
