"""Whether a protocol fits its model: the bundle is there, offers what is listed, and may be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from models.card import BundleError, Card, read_card
from models.catalog import bundle_folders, find_bundle
from service.config.consistency import Cross
from service.config.document import Document
from service.config.mistakes import KeyPath, Mistake, did_you_mean, listed
from service.config.plain_text import truth
from service.config.site import Site

_NOT_FOUND = "bundle not found in"
_LONGEST_ROI_NAME = 16  # ROI names beyond this are cut or refused by treatment planning systems


def protocol_mistakes(document: Document, folder: Path, bundles: Sequence[str] | None) -> list[Mistake]:
    """Every mistake of the protocols that their own section cannot show.

    Args:
        document: the file.
        folder: where the file lies; ``node.bundles`` is relative to it.
        bundles: ``node.bundles`` in force if it is not the file's own; see ``WatchedSite``.
    """
    cross = Cross(document)
    named = [text for _, text in cross.texts("node", "bundles")] if bundles is None else bundles
    folders = bundle_folders_of(named, folder)
    for protocol in cross.keys("protocols"):
        _roi_names(cross, protocol)
        reference = cross.at("protocols", protocol, "model")
        if isinstance(reference, str) and "@" in reference:
            _model(cross, protocol, reference, folders)
    if bundles is not None and [text for _, text in cross.texts("node", "bundles")] != list(bundles):
        waits = ". node.bundles has changed, which counts after a restart"
        cross.mistakes = [
            replace(mistake, sentence=mistake.sentence + waits) if _NOT_FOUND in mistake.sentence else mistake
            for mistake in cross.mistakes
        ]
    return cross.mistakes


def bundle_folders_of(bundles: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """The folders that ``node.bundles`` names, absolute; ``folder`` is where the file lies."""
    return tuple((folder / Path(name).expanduser()).resolve() for name in bundles)


def with_all_structures(site: Site, folders: Sequence[Path]) -> Site:
    """``site`` with every structure of the model for protocols that name none, if the bundle is there."""
    completed = {}
    for name, protocol in site.protocols.items():
        if not protocol.structures:
            try:
                structures = dict.fromkeys(find_bundle(protocol.model, folders).structures)
            except BundleError:
                continue
            completed[name] = protocol.model_copy(update={"structures": structures})
    return site.model_copy(update={"protocols": site.protocols | completed}) if completed else site


def _roi_names(cross: Cross, protocol: str) -> None:
    """Names as they will stand in the structure set: short enough, and different ignoring case."""
    names = []
    for structure in cross.keys("protocols", protocol, "structures"):
        path: KeyPath = ("protocols", protocol, "structures", structure)
        renamed = cross.at(*path, "name")
        if isinstance(renamed, str):
            names.append(((*path, "name"), renamed))
            continue
        names.append((path, structure))
        if len(structure) > _LONGEST_ROI_NAME:
            sentence = f"has {len(structure)} characters; allowed: at most 16, so give it a shorter `name`"
            cross.say(path, sentence)
    cross.same(iter(names), "the same ROI name as")


def _model(cross: Cross, protocol: str, reference: str, folders: Sequence[Path]) -> None:
    path: KeyPath = ("protocols", protocol)
    try:
        card = find_bundle(reference, folders)
    except BundleError as error:
        near = did_you_mean(reference, _references(folders)) if error.code == "model.unknown" else ""
        where = listed(["the models that ship", *(f"node.bundles {folder.name}" for folder in folders)])
        cross.say((*path, "model"), f"found {reference}{near}: {_NOT_FOUND} {where}. {error}")
        return
    for structure in cross.keys(*path, "structures"):
        if structure not in card.structures:
            near = did_you_mean(structure, card.structures)
            sentence = f"{reference} has no such structure{near}; allowed: {listed(card.structures)}"
            cross.say((*path, "structures", structure), sentence)
    if _needs_permission(card) and truth(cross.at(*path, "allow_unvalidated")) is not True:
        sentence = (
            f"the card of {reference} says: {card.validation}. It runs only with allow_unvalidated: true, "
            "and its structure sets then say NOT FOR CLINICAL USE"
        )
        cross.say((*path, "allow_unvalidated"), sentence)


def _needs_permission(card: Card) -> bool:
    """Not validated, and learned from data: a program of this distribution has learned nothing."""
    return not card.validated and (card.program is None or card.program.entry is None)


def _references(folders: Sequence[Path]) -> Iterator[str]:
    for folder in bundle_folders(folders):
        try:
            yield read_card(folder / "card.yaml").reference
        except BundleError:
            continue
