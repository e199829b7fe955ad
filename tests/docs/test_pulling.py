"""Every code with which a pull may end stands in its document, and the document names no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.delivery import outcome
from service.delivery.dicomweb import NO_SECRET
from service.retrieval.troubles import of_connection, of_status

CONNECTIONS = (
    outcome.REFUSED,
    outcome.UNRESOLVED,
    outcome.NO_CONTEXT,
    outcome.of_rejection(1, 1, 3),
    NO_SECRET,
)
MADE = {of_connection(each, "`url`").code for each in CONNECTIONS}
MADE |= {f"pull.no-such-{kind}" for kind in ("archive", "protocol", "destination")}
MADE |= {
    of_status(service, status).code for service in ("get", "move", "find") for status in (0xA700, 0xA900)
}
"""Codes that are put together."""

EVENTS = {"pull.tried"}
"""Only in the log."""


@pytest.fixture(scope="module")
def written(repository: Path) -> set[str]:
    files = [
        *(repository / "service" / "retrieval").glob("*.py"),
        repository / "service/command_line/pull.py",
    ]
    found = {
        code for file in files for code in re.findall(r'"((?:archive|pull)\.[a-z-]+)"', file.read_text())
    }
    assert len(found) > 25
    return found


def named(repository: Path) -> set[str]:
    return set(re.findall(r"`((?:archive|pull)\.[a-z-]+)`", (repository / "docs/pulling.md").read_text()))


def test_every_code_is_explained(written: set[str], repository: Path) -> None:
    assert written - EVENTS - named(repository) == set()


def test_no_other_code_is_named(written: set[str], repository: Path) -> None:
    assert named(repository) - written - MADE == set()
