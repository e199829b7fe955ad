"""What the pages say, in the languages they say it in: YAML files of sentences for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from fastapi import Request

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "zh": "中文"}
"""By the tag of BCP 47 that the page is marked with, in the language's own name."""

LANGUAGE_COOKIE: Final = "delineate_language"
_FAMILY: Final = ("-", ".")
_FOLDER: Final = Path(__file__).parent / "words"


@dataclass(frozen=True, slots=True)
class Wording:
    """The sentences of one language; calling it gives one of them, filled in."""

    language: str
    sentences: Mapping[str, str]
    values: Mapping[str, tuple[re.Pattern[str], str]] = field(default_factory=dict)
    """By code: what the node says in English, with its values as groups, and the same in this language."""

    def __call__(self, key: str, **values: object) -> str:
        """The sentence of that key.

        Raises:
            KeyError: the catalogue lacks it.
        """
        sentence = self.sentences[key]
        return sentence.format(**values) if values else sentence

    def known(self, key: str, otherwise: str) -> str:
        """The sentence of a key that need not be there, such as a code's; else ``otherwise``.

        A key that ends with a sign speaks for all that begin with it: ``code.region.no-`` for every region.
        """
        if key in self.sentences:
            return self.sentences[key]
        families = [each for each in self.sentences if each.endswith(_FAMILY) and key.startswith(each)]
        return self.sentences[max(families, key=len)] if families else otherwise

    def of_code(self, code: str | None, sentence: str | None) -> str:
        """What the node said with a code, in this language, with its values where it can; '' if unknown."""
        pattern, translated = self.values.get(code or "", (None, ""))
        found = pattern.match(sentence or "") if pattern is not None else None
        return translated.format(**found.groupdict()) if found else self.known(f"code.{code}", "")


def as_pattern(english: str) -> re.Pattern[str]:
    """A sentence, or its beginning, with names in braces where its values stand."""
    parts = re.split(r"\{([a-z]+)\}", english)
    return re.compile(
        "".join(re.escape(part) if n % 2 == 0 else f"(?P<{part}>.+?)" for n, part in enumerate(parts))
    )


@lru_cache(maxsize=len(LANGUAGES))
def wording(language: str) -> Wording:
    """The catalogue of a language."""
    found: dict[str, str] = {}
    for file in (_FOLDER / f"{language}.yaml", _FOLDER / f"{language}.codes.yaml"):
        if file.is_file():  # what the node says in English needs no translation into it
            text = file.read_text(encoding="utf-8")
            found |= yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the base loader makes texts only
    return Wording(language, found, _values(language))


def _values(language: str) -> dict[str, tuple[re.Pattern[str], str]]:
    file = _FOLDER / f"{language}.values.yaml"
    if not file.is_file():
        return {}
    text = file.read_text(encoding="utf-8")
    pairs = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the base loader makes texts only
    return {code: (as_pattern(english), translated) for code, (english, translated) in pairs.items()}


def wording_for(request: Request) -> Wording:
    """The one that was chosen, else the first that the browser asks for, else English."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    asked = [part.split(";")[0].strip()[:2].casefold() for part in
             request.headers.get("Accept-Language", "").split(",")]  # fmt: skip
    return wording(next((each for each in (chosen, *asked) if each in LANGUAGES), "en"))
