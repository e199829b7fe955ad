"""Every language says everything, nothing is asked for that no language says, and nothing is kept that nobody asks for."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from types import SimpleNamespace

import pytest

import service.console.pages
from service.console.pages.moments import duration, when
from service.console.wording import LANGUAGES, wording, wording_for

CONSOLE = Path(service.console.pages.__file__).parents[1]
TRANSLATIONS_OF_THE_NODE = "code."


def own(language: str) -> dict[str, str]:
    return {
        k: v for k, v in wording(language).sentences.items() if not k.startswith(TRANSLATIONS_OF_THE_NODE)
    }


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_key_with_the_same_fields(language):
    english = own("en")
    assert own(language).keys() == english.keys()
    assert {key: fields(said) for key, said in own(language).items()} == {
        key: fields(said) for key, said in english.items()
    }


def test_every_key_that_a_template_names_is_there_and_every_key_is_named():
    text = "\n".join(file.read_text() for file in (CONSOLE / "templates").glob("*.html"))
    whole = set(re.findall(r"\bt\('([a-z.-]+)'[,)]", text))
    begun = set(re.findall(r"\bt(?:\.known)?\('([a-z.-]+\.)' ~", text))
    known = own("en").keys()
    assert whole <= known
    followed = {f"ask.{deed}.detail" for deed in ("retry", "cancel", "hold", "release", "resend", "first")}
    unused = {key for key in known - whole - followed if not any(key.startswith(each) for each in begun)}
    assert unused == set()


def test_every_code_that_is_translated_is_one_of_the_programs():
    parts = (CONSOLE.parent, CONSOLE.parents[1] / "models")
    program = "\n".join(file.read_text() for part in parts for file in part.rglob("*.py"))
    for key in wording("zh").sentences:
        if key.startswith(TRANSLATIONS_OF_THE_NODE):
            code = key.removeprefix(TRANSLATIONS_OF_THE_NODE)
            kind = code.removeprefix(
                "delivery.tls-"
            )  # the codes of failed handshakes are made of their kinds
            assert f'"{code}"' in program or f'"{code}{{' in program or f'"{kind}"' in program, key


@pytest.mark.parametrize(
    ("cookie", "asked", "language"),
    [("", "", "en"), ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en", "zh-CN", "en"), ("zh", "en", "zh"),
     ("xx", "sv-SE,sv", "en"), ("", "sv,zh;q=0.5", "zh")],
)  # fmt: skip
def test_the_chosen_language_comes_before_what_the_browser_asks_for(cookie, asked, language):
    request = SimpleNamespace(cookies={"delineate_language": cookie}, headers={"Accept-Language": asked})
    assert wording_for(request).language == language


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "–"), (0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (61, "1 min 1 s"), (7500, "2 h 5 min"),
     (3 * 86400, "3 d")],
)  # fmt: skip
def test_durations_are_short(seconds, said):
    assert duration(seconds) == said


def test_a_day_that_is_not_today_is_named():
    noon = 1_767_265_200.0  # 2026-01-01 12:00:00 in Stockholm
    assert when(noon, "Europe/Stockholm").endswith("1 Jan 12:00")
    assert when(noon, "Europe/Stockholm", "zh").endswith("1月1日 12:00")
    assert when(None, "Europe/Stockholm") == "–"
