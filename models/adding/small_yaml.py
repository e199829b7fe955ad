"""A small YAML file that a person wrote, or a configuration in JSON: a mapping, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from models.cards.card import BundleError
from models.cards.yaml_sections import parsed


def mapping_in(file: Path, code: str, what: str) -> dict[str, Any]:
    """What ``file`` says; its ending tells JSON from YAML.

    Args:
        file: to be read.
        code: of the refusal.
        what: the file is, as the sentence begins, e.g. ``The file of labels``.

    Raises:
        BundleError: ``code``, it cannot be read or is no mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else parsed(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BundleError(code, f"{what} cannot be read ({type(error).__name__}).") from error
    if not isinstance(content, dict):
        raise BundleError(code, f"{what} is not a mapping of keys.")
    return {str(key): value for key, value in content.items()}
