"""Every code that a page may show has its sentence in every language but the node's own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

import models
import service
from service.console.wording import LANGUAGES, Wording, wording

SERVICE, MODELS = Path(service.__file__).parent, Path(models.__file__).parent
SHOWN = ("arrival", "backlog", "console", "contouring", "delivery", "dicom", "node")
"""Packages whose refusals, findings and outcomes stand in the ledger or are answered to a page."""

NOT_SHOWN = (
    *(MODELS / part for part in ("adding", "data_sets", "evaluation", "synthetic_ct", "training")),
    SERVICE / "backlog" / "backup.py",
)
"""What only a command says, at a terminal."""

PLACES = ("profiles.", "refusals.", "starts.", "code.")
"""Beginnings of other names than codes."""
CODE = re.compile(r"[a-z]+(-[a-z]+)*\.[a-z0-9]+(-[a-z0-9]+)*")
NO_CODE = re.compile(
    r".*\.(json|ya?ml|html|csv|dcm|npy|sqlite|port|tls-port|log|lock|png|part|safetensors|md|dump|npz|ts|jsonl)"
    r"|(memory|utilization|temperature|account|job|series|delivery|t|http|socket)\."
    r"(total|used|gpu|name|id|value|disconnect|socket)"
    r"|node\.(tls|disk|notify|retention|equipment)|console\.oidc"
)
LOGGED = re.compile(
    r"(_log|log)\.(info|warning|error|failure)|(failpoints\.)?reach|imported|.*audit\.record|.*trail\.record|\w+\._warn"
)


def sources() -> Iterator[Path]:
    files = [*MODELS.rglob("*.py"), *(file for part in SHOWN for file in (SERVICE / part).rglob("*.py"))]
    return (file for file in files if not any(file.is_relative_to(part) for part in NOT_SHOWN))


def codes() -> Iterator[tuple[str, Path]]:
    """Every text that looks like a code and is neither a file's name nor an event of the log alone."""
    for file in sources():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        logged = {
            id(argument)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and LOGGED.fullmatch(ast.unparse(call.func))
            for argument in ast.walk(call)
        }
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in logged else None
            if isinstance(text, str) and CODE.fullmatch(text) and not NO_CODE.fullmatch(text):
                yield text, file


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_no_code_lacks_a_sentence(language):
    said = wording(language).sentences
    missing = {
        code: str(file.relative_to(SERVICE.parent))
        for code, file in codes()
        if not {f"code.{code}", f"event.{code}", code} & said.keys()  # the last: a word of the pages
    }
    assert missing == {}


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_codes_that_are_put_together_have_a_sentence_for_all_of_their_kind(language):
    """Such as ``region.no-`` and the region; those of states are events."""
    said = wording(language)
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            first = node.values[0] if isinstance(node, ast.JoinedStr) and len(node.values) == 2 else None
            begins = first.value if isinstance(first, ast.Constant) else ""
            if re.fullmatch(r"[a-z]+(-[a-z]+)*\.([a-z]+-)?", begins) and begins not in PLACES:
                is_event = any(key.startswith((f"event.{begins}", begins)) for key in said.sentences)
                assert is_event or said.known(f"code.{begins}x", ""), (begins, file.name)


def test_the_longest_family_speaks_for_a_code_without_a_sentence_of_its_own():
    said = Wording("xx", {"code.a.": "all of a", "code.a.b-": "all of b", "code.a.b-c": "c"})
    assert [said.known(f"code.{code}", "?") for code in ("a.b-c", "a.b-d", "a.x", "z.x")] == [
        "c", "all of b", "all of a", "?",
    ]  # fmt: skip


def test_a_refusal_of_the_api_is_said_in_the_language_of_the_page(desk):
    desk.client.cookies.set("delineate_language", "zh")
    answer = desk.client.get("/api/v1/session").json()
    assert (answer["sentence"], answer["said"]) == (
        "Sign in first, or send a token.",
        "请先登录，或附上令牌。",
    )
    desk.client.cookies.set("delineate_language", "en")
    assert "said" not in desk.client.get("/api/v1/session").json()


def sentences() -> set[str]:
    """What the program says in English, with a 7 for each value in it."""
    found = set()
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(str(p.value) if isinstance(p, ast.Constant) else "7" for p in node.values))
    return found


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_sentences_with_values_are_those_that_the_program_says(language):
    said = sentences()
    known = {code for code, _ in codes()} | {"identity-differs"}
    for code, (english, translated) in wording(language).values.items():
        assert code in known
        matching = [sentence for sentence in said if english.match(sentence)]
        assert len(matching) == 1, (code, matching)
        values = english.match(matching[0]).groupdict()
        assert set(values.values()) == {"7"}, (code, values)
        assert {name for _, name, _, _ in Formatter().parse(translated) if name} <= values.keys()


def test_a_sentence_with_values_is_translated_with_them_and_another_one_of_its_code_without():
    said = wording("zh")
    found = said.of_code("structure.volume-unusual", "Bladder has 812 cm3; usual are 30 to 700 cm3.")
    assert found == "Bladder 的体积为 812 cm³，通常为 30 至 700 cm³。"
    assert said.of_code("structure.volume-unusual", "Something else.") == "体积异常。"
    assert said.of_code(
        "series.incomplete", "Only 7 of 120 images of the series have arrived. Send it again."
    ) == ("序列的 120 幅图像只到达 7 幅。请重新发送完整序列。")
    assert said.of_code("no.such", "Said.") == ""
    assert wording("en").of_code("series.incomplete", "Only 7 of 120 images.") == ""
