"""The page about other outputs names every object and every answer as the code has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from service.config.output_objects import ObjectKind
from service.config.reader import parse
from service.delivery.outcome import Kind
from service.delivery.stow_outcome import of_response


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "outputs.md").read_text()


def rows(page: str, header: str) -> list[list[str]]:
    lines = page.splitlines()
    start = lines.index(header)
    table = lines[start + 2 :]
    ends = next(i for i, line in enumerate(table) if not line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[:ends]]


def test_every_object_is_listed_with_its_class(page: str) -> None:
    listed = {row[0].strip("`"): row[2] for row in rows(page, "| object | what it is | SOP class |")}
    assert set(listed) == {kind.value for kind in ObjectKind}
    for kind in ObjectKind:
        uid = kind.sop_class_uid
        if uid is None:
            assert listed[kind.value] == "none"
        elif kind is ObjectKind.LABELMAP:  # newer than the tables of pydicom
            assert listed[kind.value] == "Label Map Segmentation Storage"
        else:
            assert listed[kind.value] == uid.name


def test_the_example_is_good(page: str, tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    site = parse(example, tmp_path / "config.yaml", check_bundles=False).site
    kinds = {name: at.objects for name, at in site.destinations.items()}
    assert kinds == {name: one["objects"] for name, one in yaml.safe_load(example)["destinations"].items()}


def test_answers_of_stow_rs_are_handled_as_listed(page: str) -> None:
    kinds = {
        "done with a warning": Kind.DONE_WITH_WARNING,
        "done": Kind.DONE,
        "tried again slowly": Kind.SLOW_RETRY,
        "tried again": Kind.RETRY,
        "dead letter": Kind.DEAD,
    }
    stored = json.dumps(
        {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["2.25.1"]}}]}}
    )
    table = {row[0]: row[1] for row in rows(page, "| answer | behaviour |")}
    seen = 0
    for answer, behaviour in table.items():
        expected = next((kind for words, kind in kinds.items() if behaviour.startswith(words)), None)
        for number in re.findall(r"\b[245][0-9x]{2}\b", answer):
            if expected is None or "Failure Reason" in answer:
                continue
            body = stored.encode() if "that names" in answer else b""
            for digits in ("00", "03") if "xx" in number else ("",):
                found = of_response(int(number.replace("xx", digits)), body, "2.25.1")
                assert found.kind is expected, number
                assert found.alarm or expected is Kind.DEAD or "a person is told" not in behaviour
                seen += 1
    assert seen >= 15
