"""What the pages say, in the languages they say it in: YAML files of sentences for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@lru_cache(maxsize=len(LANGUAGES))
def wording(language: str) -> Wording:
    """The catalogue of a language."""
    found: dict[str, str] = {}
    for file in (_FOLDER / f"{language}.yaml", _FOLDER / f"{language}.codes.yaml"):
        if file.is_file():  # what the node says in English needs no translation into it
            text = file.read_text(encoding="utf-8")
            found |= yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the base loader makes texts only
    return Wording(language, found)


def wording_for(request: Request) -> Wording:
    """The one that was chosen, else the first that the browser asks for, else English."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    asked = [part.split(";")[0].strip()[:2].casefold() for part in
             request.headers.get("Accept-Language", "").split(",")]  # fmt: skip
    return wording(next((each for each in (chosen, *asked) if each in LANGUAGES), "en"))
