"""Which bundles there are, and whether each is what its card says. No torch here."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from models.cards.card import BundleError, Card, read_card

SHIPPED: Final = Path(__file__).parents[1] / "bundles"


def bundle_folders(extra_folders: Sequence[Path] = ()) -> Iterator[Path]:
    """Folders with a card: those that ship, then in each of ``extra_folders`` itself and one level below."""
    for root in (SHIPPED, *extra_folders):
        for folder in (root, *sorted(root.glob("*"))):
            if (folder / "card.yaml").is_file():
                yield folder


def find_bundle(reference: str, extra_folders: Sequence[Path] = ()) -> Card:
    """The card of ``name@version``.

    Raises:
        BundleError: ``model.unknown`` if there is none, ``model.ambiguous`` if there are two with different
            content, or what is wrong with its card. Cards of other bundles are not looked at closely.
    """
    found: list[Card] = []
    others: list[str] = []
    for folder in bundle_folders(extra_folders):
        try:
            card = read_card(folder / "card.yaml")
        except BundleError:
            if folder.name in (reference, reference.partition("@")[0]):
                raise
            continue
        if card.reference == reference:
            found.append(card)
        else:
            others.append(card.reference)
    if not found:
        known = ", ".join(sorted(set(others))) or "none"
        raise BundleError("model.unknown", f"There is no model {reference}; there are: {known}.")
    if len({(card.folder / "card.yaml").read_bytes() for card in found}) > 1:
        raise BundleError(
            "model.ambiguous", f"Two different bundles are called {reference}; remove one of them."
        )
    return found[0]


def verified_bytes(file: Path, sha256: str, reference: str) -> bytes:
    """The content of ``file``, whose SHA-256 must be ``sha256``: what was checked is what is used.

    Raises:
        BundleError: ``model.file-missing`` or ``model.hash-mismatch``.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        sentence = f"The file {file.name} of {reference} cannot be read; install the bundle again."
        raise BundleError("model.file-missing", sentence) from error
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        sentence = (
            f"The file {file.name} of {reference} is not the one its card names; install the bundle again."
        )
        raise BundleError("model.hash-mismatch", sentence)
    return content


def content_sha256(card: Card) -> str:
    """SHA-256 in hex of what does the work: the weights, the program file or the module, as it is now.

    Raises:
        BundleError: as :func:`verified_bytes`.
    """
    if card.weights is not None:
        return hashlib.sha256(
            verified_bytes(card.folder / card.weights.file, card.weights.sha256, card.reference)
        ).hexdigest()
    if card.program is not None and card.program.file is not None:
        expected = card.program.sha256 or ""
        return hashlib.sha256(
            verified_bytes(card.folder / card.program.file, expected, card.reference)
        ).hexdigest()
    return _module_sha256(card)


def _module_sha256(card: Card) -> str:
    """Of a program that is part of this distribution: it tells versions apart."""
    module = (card.program.entry or "").partition(":")[0] if card.program is not None else ""
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise BundleError("model.file-missing", f"The program of {card.reference} is not installed.")
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
