"""Which TG-263 structure a name stands for: by a list of synonyms, and never by guessing.

Names are compared without case, blanks, punctuation and accents. Left and right are matched only if exactly
one word for a side completes a name that needs one.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Literal

from service.errors import DataRefused
from service.training_data.name_files import ENGLISH, SHIPPED, KnownStructure, NameFile, read_name_file

_CAMEL: Final = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")

Why = Literal["", "unknown", "no-side", "ambiguous", "ignored"]


@dataclass(frozen=True, slots=True)
class Match:
    """What a name stands for.

    Attributes:
        structure: TG-263 name, or None.
        why: empty if there is a structure, else why not.
    """

    structure: str | None
    why: Why = ""


@dataclass(frozen=True)
class RoiNames:
    """Synonyms, ready for matching.

    Attributes:
        known: what is known of each structure, by TG-263 name.
        whole: structure by folded name, for names that need no side.
        sided: stem of the structure by folded name, by language, for names that need one.
        sides: ``L`` or ``R`` by folded word, by language, English words among those of each.
        ignored: folded names of no interest.
    """

    known: Mapping[str, KnownStructure]
    whole: Mapping[str, str]
    sided: Mapping[str, Mapping[str, str]]
    sides: Mapping[str, Mapping[str, str]]
    ignored: frozenset[str] = field(default=frozenset())

    @classmethod
    def read(cls, files: Sequence[Path] = ()) -> RoiNames:
        """The shipped list and further files; each overrules those before it.

        Raises:
            DataRefused: a file cannot be read, or gives one name to two structures (``names.ambiguous``).
        """
        building = _Building()
        building.add(_shipped(), SHIPPED.name)
        for file in files:
            building.add(read_name_file(file), file.name)
        english = building.sides[ENGLISH]
        sides = {language: {**words, **english} for language, words in building.sides.items()}
        return cls(building.known, building.whole, building.sided, sides, frozenset(building.ignored))

    def match(self, roi_name: str) -> Match:
        """What an ROI name stands for."""
        name = folded(roi_name)
        if not name or name in self.ignored:
            return Match(None, "ignored" if name else "unknown")
        found = set(self._completed(roi_name, name))
        if name in self.whole:
            found.add(self.whole[name])
        if len(found) == 1:
            return Match(found.pop())
        if found:
            return Match(None, "ambiguous")
        stems = any(name in names for names in self.sided.values())
        return Match(None, "no-side" if stems else "unknown")

    def suggestion(self, roi_name: str) -> str:
        """A structure with a name much like this one, for a person to judge; empty if there is none."""
        names = dict(self.whole)
        for stems in self.sided.values():
            names.update({name: f"{stem}_L or {stem}_R" for name, stem in stems.items()})
        near = difflib.get_close_matches(folded(roi_name), names, n=1, cutoff=0.75)
        return names[near[0]] if near else ""

    def _completed(self, roi_name: str, name: str) -> Iterator[str]:
        """Every structure that the name stands for if one of its words is taken for a side."""
        words = [folded(word) for word in _words(roi_name)]
        for language, stems in self.sided.items():
            sides = self.sides.get(language, self.sides[ENGLISH])
            for i, word in enumerate(words):
                rest = "".join(words[:i] + words[i + 1 :])
                if word in sides and rest in stems:
                    yield f"{stems[rest]}_{sides[word]}"
            for word, side in sides.items():
                if _may_be_joined(word):
                    for rest in (name.removeprefix(word), name.removesuffix(word)):
                        if rest != name and rest in stems:
                            yield f"{stems[rest]}_{side}"


@cache
def _shipped() -> NameFile:
    return read_name_file(SHIPPED)


def folded(name: str) -> str:
    """The letters and digits of a name, without case and accents."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(character for character in plain.casefold() if character.isalnum())


def _words(name: str) -> list[str]:
    """``LungL`` and ``lung_L`` are two words each; ``PTV45`` too."""
    text = unicodedata.normalize("NFKC", name)
    pieces = re.split(r"[\W_]+", text)
    return [word for piece in pieces for part in _CAMEL.split(piece) for word in _humps(part) if word]


def _humps(word: str) -> list[str]:
    """``FemurHeadL`` is three words: each begins with a capital after a small letter."""
    cuts = [i for i in range(1, len(word)) if word[i - 1].islower() and word[i].isupper()]
    return [word[a:b] for a, b in zip([0, *cuts], [*cuts, len(word)], strict=True)]


def _may_be_joined(word: str) -> bool:
    """One letter is too little: ``nyrer`` is no right ``nyre``. One Chinese character is enough."""
    return len(word) > 1 or word.upper() == word.lower()


@dataclass
class _Building:
    known: dict[str, KnownStructure] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    sided: dict[str, dict[str, str]] = field(default_factory=dict)
    sides: dict[str, dict[str, str]] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)

    def add(self, file: NameFile, where: str) -> None:
        """Add a file; what it says overrules what was there."""
        whole: dict[str, str] = {}
        sided: dict[str, dict[str, str]] = {}
        for name, structure in file.structures.items():
            for full in (f"{name}_L", f"{name}_R") if structure.sides else (name,):
                now = KnownStructure(
                    full, structure.extent, structure.minimum_height_mm, structure.several_parts
                )
                self.known[full] = _merged(self.known.get(full), now)
            for language, synonyms in (structure.by_language() or {ENGLISH: []}).items():
                table = sided.setdefault(language, {}) if structure.sides else whole
                _put(table, [name, *synonyms], name, where)
        for language, words in file.languages.items():
            sides = self.sides.setdefault(language, {})
            sides.update({folded(word): "L" for word in words.left})
            sides.update({folded(word): "R" for word in words.right})
        self._overrule(whole, sided)
        self.ignored = (self.ignored - whole.keys()) | {folded(name) for name in file.ignore}

    def _overrule(self, whole: Mapping[str, str], sided: Mapping[str, Mapping[str, str]]) -> None:
        for name in {name for stems in sided.values() for name in stems}:
            self.whole.pop(name, None)
            for earlier in self.sided.values():
                earlier.pop(name, None)
        self.whole.update(whole)
        for language, stems in sided.items():
            self.sided.setdefault(language, {}).update(stems)


def _put(table: dict[str, str], synonyms: Iterable[str], structure: str, where: str) -> None:
    for synonym in synonyms:
        name = folded(synonym)
        if not name:
            raise DataRefused(
                "names.invalid", f"{where}: {structure} has a name without a letter or digit: {synonym!r}."
            )
        if table.setdefault(name, structure) != structure:
            raise DataRefused(
                "names.ambiguous",
                f"{where}: {synonym!r} stands for {table[name]} and for {structure}. Keep one of the two.",
            )


def _merged(before: KnownStructure | None, now: KnownStructure) -> KnownStructure:
    """What a later file leaves out stays as it was."""
    if before is None:
        return now
    return KnownStructure(
        now.name,
        now.extent or before.extent,
        now.minimum_height_mm or before.minimum_height_mm,
        now.several_parts or before.several_parts,
    )
