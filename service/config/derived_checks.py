"""Whether structures made of others can be made: no cycle, no target out of nothing, names of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from service.config.cross import Cross
from service.config.derivation import DerivedStructure, cycle_in
from service.config.document import Document
from service.config.mistakes import KeyPath, Mistake

_TARGET: Final = re.compile(r"z?(CTV|GTV|ITV)", re.IGNORECASE)
_PLANNING_TARGET: Final = re.compile(r"z?PTV", re.IGNORECASE)
_LISTS: Final = ("union", "intersection", "difference")


def derived_mistakes(document: Document) -> list[Mistake]:
    """Every mistake of the derived structures that the section itself cannot show."""
    cross = Cross(document)
    for protocol in cross.keys("protocols"):
        path: KeyPath = ("protocols", protocol)
        made = _readable(cross, path)
        _names(cross, path)
        _targets(cross, path, made)
        cycle = cycle_in({name: one.needs for name, one in made.items()})
        if cycle:
            circle = " -> ".join(cycle)
            sentence = f"is made of itself: {circle}; allowed: what comes from a model in the end"
            cross.say((*path, "derived", cycle[0]), sentence)
    return cross.mistakes


def sources_named(cross: Cross, path: KeyPath) -> list[tuple[KeyPath, str]]:
    """What the derived structures of the protocol at ``path`` need of models, each with its place."""
    derived = cross.keys(*path, "derived")
    found = []
    for name in derived:
        here: KeyPath = (*path, "derived", name)
        steps: list[KeyPath] = [here, *((*here, "steps", i) for i in cross.indices(*here, "steps"))]
        places = [(*here, "of"), *((*step, key) for step in steps for key in _LISTS)]
        places += [(*step, "inside", "structure") for step in steps]
        places += [(*step, "away_from", "structures") for step in steps]
        found += [each for place in places for each in cross.texts(*place) if each[1] not in derived]
    return found


def _readable(cross: Cross, path: KeyPath) -> dict[str, DerivedStructure]:
    """Those that can be read; what is wrong with the others is said elsewhere."""
    found = {}
    for name in cross.keys(*path, "derived"):
        try:
            found[name] = DerivedStructure.model_validate(cross.at(*path, "derived", name))
        except ValidationError:
            continue
    return found


def _names(cross: Cross, path: KeyPath) -> None:
    entries: list[tuple[KeyPath, str]] = [
        ((*path, part, name), name) for part in ("structures", "derived") for name in cross.keys(*path, part)
    ]
    cross.same(iter(entries), "the same name as")


def _targets(cross: Cross, path: KeyPath, made: dict[str, DerivedStructure]) -> None:
    """A clinical or gross target comes from a model that learned it, a planning target from one of these."""
    for name, one in made.items():
        for place, text in (
            ((*path, "derived", name), name),
            ((*path, "derived", name, "name"), one.name or ""),
        ):
            if _TARGET.match(text):
                sentence = (
                    f"found '{text}': a CTV or GTV comes only from a model that learned it; "
                    "name an aid otherwise, such as zVessels_07"
                )
                cross.say(place, sentence)
            if _PLANNING_TARGET.match(text) and not any(
                _TARGET.match(source) for source in _origins(name, made)
            ):
                cross.say(place, f"found '{text}': a PTV is made of a CTV or GTV; name an aid otherwise")


def _origins(name: str, made: dict[str, DerivedStructure]) -> Iterator[str]:
    """What a derived structure begins with, followed back to structures of models."""
    pending, seen = [name], set()
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        if at in made:
            pending += made[at].sources
        else:
            yield at
