"""Whether a protocol fits its model: the bundle is there, offers what is listed, and may be used."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from models.cards.card import BundleError, Card, read_card
from models.cards.catalog import bundle_folders, find_bundle
from models.sides import side_in_all, side_in_words
from service.config.cross import Cross
from service.config.derived_checks import sources_named
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
        _models(cross, protocol, folders)
        _candidate(cross, protocol, folders)
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
    """``site`` with every structure of the models for protocols that name none, if the bundles are there."""
    completed = {}
    for name, protocol in site.protocols.items():
        if not protocol.structures:
            try:
                cards = [find_bundle(use.model, folders) for use in protocol.uses]
            except BundleError:
                continue
            named = [use.structures for use in protocol.uses]
            every = [structure for card in cards for structure in card.structures]
            given = {
                one for part in given_by_each(named, [c.structures for c in cards], every) for one in part
            }
            structures = dict.fromkeys(one for one in every if one in given.difference(protocol.derived))
            completed[name] = protocol.model_copy(update={"structures": structures})
    return site.model_copy(update={"protocols": site.protocols | completed}) if completed else site


def given_by_each(
    named: Sequence[Collection[str]], offers: Sequence[Collection[str]], needed: Iterable[str]
) -> list[tuple[str, ...]]:
    """Which of the needed structures each model gives; those that nobody offers are given by none.

    Args:
        named: by model, the structures that the protocol wants of it and of no other; empty for the rest.
        offers: by model, what its card offers.
        needed: structures, in order.
    """
    claimed = {structure for names in named for structure in names}
    given: list[list[str]] = [[] for _ in named]
    for structure in dict.fromkeys(needed):
        for names, offered, taken in zip(named, offers, given, strict=True):
            if structure in names or (not names and structure not in claimed and structure in offered):
                taken.append(structure)
                break
    return [tuple(names) for names in given]


def _roi_names(cross: Cross, protocol: str) -> None:
    """Names as they will stand in the structure set: short enough, and different ignoring case."""
    names = []
    of_protocol: KeyPath = ("protocols", protocol)
    written = [
        (*of_protocol, part, structure)
        for part in ("structures", "derived")
        for structure in cross.keys(*of_protocol, part)
    ]
    for path in written:
        structure = str(path[-1])
        renamed = cross.at(*path, "name")
        _sides(cross, path, renamed)
        if isinstance(renamed, str):
            names.append(((*path, "name"), renamed))
            continue
        names.append((path, structure))
        if len(structure) > _LONGEST_ROI_NAME:
            sentence = f"has {len(structure)} characters; allowed: at most 16, so give it a shorter `name`"
            cross.say(path, sentence)
    cross.same(iter(names), "the same ROI name as")


def _sides(cross: Cross, path: KeyPath, renamed: object) -> None:
    """No name says the other side than its structure, or than all that a derived structure is made of."""
    structure = str(path[-1])
    sources = [name for _, name in cross.texts(*path, "of")]
    side = side_in_words(structure) or side_in_all(sources)
    said = [(path, structure, side_in_all(sources))] if sources else []
    said += [((*path, "name"), renamed, side)] if isinstance(renamed, str) else []
    for place, name, wanted in said:
        found = side_in_words(name)
        if found and wanted and found != wanted:
            what = f"made of what is on the {wanted}" if name is structure else f"the name of {structure}"
            cross.say(
                place, f"'{name}' says {found} and is {what}; allowed: a name that says {wanted}, or no side"
            )


def _models(cross: Cross, protocol: str, folders: Sequence[Path]) -> None:
    """The bundles of one protocol, and whether they offer what it asks for."""
    path: KeyPath = ("protocols", protocol)
    places = [(*path, "model"), *((*path, "models", i, "model") for i in cross.indices(*path, "models"))]
    cards: list[Card] = []
    for place in places:
        reference = cross.at(*place)
        if not isinstance(reference, str):
            continue
        card = _card(cross, place, reference, folders) if "@" in reference else None
        if card is None:
            return  # what it would offer is not known
        cards.append(card)
        _permission(cross, path, card)
    if cards:
        _offered(cross, path, cards)


def _candidate(cross: Cross, protocol: str, folders: Sequence[Path]) -> None:
    """The model in the shadow: it must be there and offer what is listed, or it could not be promoted."""
    path: KeyPath = ("protocols", protocol, "shadow")
    reference = cross.at(*path)
    if not isinstance(reference, str) or "@" not in reference:
        return
    card = _card(cross, path, reference, folders)
    if card is None:
        return
    asked = [*cross.keys("protocols", protocol, "structures")]
    asked += [structure for _, structure in sources_named(cross, path[:-1])]
    missing = [name for name in dict.fromkeys(asked) if name not in card.structures]
    if missing:
        sentence = f"{reference} does not offer {listed(missing)}, which the protocol needs; allowed: a model"
        cross.say(path, f"{sentence} that offers all of it")


def _card(cross: Cross, place: KeyPath, reference: str, folders: Sequence[Path]) -> Card | None:
    try:
        return find_bundle(reference, folders)
    except BundleError as error:
        near = did_you_mean(reference, _references(folders)) if error.code == "model.unknown" else ""
        where = listed(["the models that ship", *(f"node.bundles {folder.name}" for folder in folders)])
        cross.say(place, f"found {reference}{near}: {_NOT_FOUND} {where}. {error}")
        return None


def _permission(cross: Cross, path: KeyPath, card: Card) -> None:
    if _needs_permission(card) and truth(cross.at(*path, "allow_unvalidated")) is not True:
        sentence = (
            f"the card of {card.reference} says: {card.validation}. It runs only with "
            "allow_unvalidated: true, and its structure sets then say NOT FOR CLINICAL USE"
        )
        cross.say((*path, "allow_unvalidated"), sentence)


def _offered(cross: Cross, path: KeyPath, cards: Sequence[Card]) -> None:
    """Every structure that is asked for, or that another is made of, must come from one of the models."""
    several = cross.at(*path, "model") is None
    named: list[list[str]] = [[] for _ in cards]
    for index, card in enumerate(cards if several else ()):
        for place, structure in cross.texts(*path, "models", index, "structures"):
            named[index].append(structure)
            _must_offer(cross, place, structure, [card])
    if several:
        entries = [e for i in range(len(cards)) for e in cross.texts(*path, "models", i, "structures")]
        cross.same(iter(entries), "which another model gives")
    asked: list[tuple[KeyPath, str]] = [
        ((*path, "structures", structure), structure) for structure in cross.keys(*path, "structures")
    ]
    asked += sources_named(cross, path)
    given = given_by_each(named, [card.structures for card in cards], (structure for _, structure in asked))
    found = {structure for part in given for structure in part}
    for place, structure in asked:
        if structure not in found and _must_offer(cross, place, structure, cards):
            sentence = "no model gives it: one that offers it lists others under its own `structures`"
            cross.say(place, sentence)


def _must_offer(cross: Cross, place: KeyPath, structure: str, cards: Sequence[Card]) -> bool:
    """Whether one of the cards offers it; a mistake if not."""
    names = list(dict.fromkeys(name for card in cards for name in card.structures))
    if structure in names:
        return True
    near = did_you_mean(structure, names)
    of = cards[0].reference if len(cards) == 1 else listed(card.reference for card in cards)
    cross.say(place, f"{of} has no such structure{near}; allowed: {listed(names)}")
    return False


def _needs_permission(card: Card) -> bool:
    """Not validated, and learned from data: a program of this distribution has learned nothing."""
    return not card.validated and (card.program is None or card.program.entry is None)


def _references(folders: Sequence[Path]) -> Iterator[str]:
    for folder in bundle_folders(folders):
        try:
            yield read_card(folder / "card.yaml").reference
        except BundleError:
            continue
