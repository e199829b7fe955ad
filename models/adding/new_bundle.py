"""The folder that an added model becomes: its card and its files, in one piece or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from models.adding.labels import MappedLabel
from models.adding.small_yaml import mapping_in
from models.cards.card import BundleError, Card, read_card

INTENDED_USE: Final = (
    "Research and commissioning. Starting contours for review by a clinician; never to be used unreviewed."
)
UNKNOWN_LICENCE: Final = (
    "The weights carry the terms of whoever made them, and nobody stated these. Ask first."
)
NOT_COMMISSIONED: Final = "not validated here: added from elsewhere, not commissioned"
NO_REGION: Final = (
    "It does not recognise a CT of another part of the body; send it only what it was trained on."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What ``delineate models add`` was told.

    Attributes:
        path: the model as it came.
        folder: for the bundle.
        labels: YAML that maps its labels to structure names.
        table: of names for labels that ``labels`` does not map.
        card: YAML with what the model does not say itself, key for key as in a card.
        trust: code and pickled objects of the model may be run.
        told: hears of everything that was taken on trust, by a code.
    """

    path: Path
    folder: Path
    labels: Path | None
    card: Mapping[str, Any]
    trust: bool
    told: Callable[[str], None]
    table: Path | None = None


def read_small_card(file: Path | None) -> dict[str, Any]:
    """The small card that a person wrote; empty without one.

    Raises:
        BundleError: ``add.card-unreadable``.
    """
    return {} if file is None else mapping_in(file, "add.card-unreadable", "The small card")


def structures_of(mapped: Mapping[str, MappedLabel]) -> dict[str, Any]:
    """The section ``structures`` of a card."""
    return {
        one.name: {key: value for key, value in asdict(one).items() if key != "name"}
        for one in mapped.values()
    }


def pairs_of(names: Mapping[str, Any]) -> list[list[str]]:
    """Left and right structures whose sides are checked by position."""
    stems = [name[:-2] for name in names if name.endswith("_L") and f"{name[:-2]}_R" in names]
    return [[f"{stem}_L", f"{stem}_R"] for stem in stems]


def words(wish: Wish, summary: str, *limits: str) -> dict[str, Any]:
    """What a card says for people; the small card's words go before these."""
    said = {
        "name": wish.folder.name,
        "version": "1.0",
        "summary": summary,
        "intended_use": INTENDED_USE,
        "licence": UNKNOWN_LICENCE,
        "validated": False,
        "validation": NOT_COMMISSIONED,
        "limits": [NO_REGION, *limits],
    }
    return said | dict(wish.card)


def write(
    wish: Wish, content: Mapping[str, Any], files: Mapping[str, bytes], check: Callable[[Card], None]
) -> Card:
    """Write the bundle; it appears in one piece and only if ``check`` lets its card pass.

    Raises:
        BundleError: ``add.exists``, ``add.unwritable``, the card does not fit, or what ``check`` says.
    """
    if wish.folder.exists():
        raise BundleError(
            "add.exists", f"There is a {wish.folder.name} already; remove it or name another folder."
        )
    part = wish.folder.with_name(f".{wish.folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        for name, data in files.items():
            (part / name).write_bytes(data)
        text = yaml.safe_dump(_plain(content), sort_keys=False, allow_unicode=True, width=115)
        (part / "card.yaml").write_text(text, encoding="utf-8")
        check(read_card(part / "card.yaml"))
        part.rename(wish.folder)
    except OSError as error:
        sentence = f"The bundle cannot be written ({type(error).__name__}); look at the disk and its rights."
        raise BundleError("add.unwritable", sentence) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return read_card(wish.folder / "card.yaml")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """With lists for tuples: YAML knows no other."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
