"""Rules of the house that no single module can keep: what documents name exists, what must stay apart stays apart."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer.main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.__main__ import application
from service.config.schema import json_schema

Command = Any  # typer brings its own copy of click

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config.yaml", *(
    f"docs/{name}.md" for name in (
        "configuration", "conformance", "console", "console-api", "data", "derived-structures", "evaluation", "house",
        "networks", "operations", "performance", "profiles", "pulling", "quality", "reliability", "reliability-of-peers", "samples-and-losses", "scaling",
        "second-look", "security", "tls", "training",
    )
))  # fmt: skip
LOOPS_THAT_CATCH_EVERYTHING = {
    "service/arrival/association.py": 2,  # one association must not take the SCP down: its thread, its end
    "service/arrival/arrival_process.py": 1,  # one turn of the loop
    "service/arrival/reception.py": 2,  # one series, one question to a sender
    "service/backlog/engine/worker.py": 3,  # one row, one telling, one turn of the watch
    "service/backlog/notify.py": 1,
    "service/backlog/retention.py": 1,
    "service/backlog/watchdog.py": 1,
    "service/contouring/further_objects.py": 1,  # one object of several
    "service/contouring/model_process.py": 1,
    "service/node/destination_query.py": 1,  # one night
    "service/evaluation/set_intake.py": 1,  # one look
    "service/node/heartbeat.py": 1,
    "service/node/work.py": 1,
}
TABLES_OF_SHAPES = {"models/synthetic_ct/phantoms/torso.py:muscles"}


@pytest.fixture(scope="module")
def command() -> Command:
    return typer.main.get_command(application())


def named_commands(text: str) -> Iterator[str]:
    """What follows ``delineate`` in code spans and code blocks, to the end of the command."""
    text = re.sub(r"\\\n\s*", " ", text)
    for block in re.findall(r"```\w*\n(.*?)```", text, re.S):
        yield from re.findall(r"(?m)^(?:\S*=)?(?:\S*/)?delineate +([^#\n]+)", block)
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text):
        yield from re.findall(r"^(?:\S*/)?delineate +(.+)", span)
    yield from re.findall(r"(?m)^# +delineate +(\S+(?: FOLDER)?)", text)


def complaint(command: Command, words: list[str]) -> str | None:
    """What is wrong with a command line, its arguments aside."""
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            return f"no command {' '.join(words[:1])}"
        command, words = command.commands[words[0]], words[1:]
    options = {name for each in command.params for name in each.opts}
    unknown = [word for word in words if word.startswith("--") and word not in options]
    return f"{command.name} has no {unknown}" if unknown else None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_and_option_that_a_document_names_exists(
    document: str, repository: Path, command: Command
) -> None:
    text = (repository / document).read_text()
    for line in named_commands(text):
        words = re.sub(r"[\[\]]", " ", line).split()
        assert complaint(command, words) is None, line


def test_every_command_in_the_tables_of_readme_exists(repository: Path, command: Command) -> None:
    table = (
        (repository / "README.md").read_text().partition("| command | what it does |")[2].partition("\n\n")[0]
    )
    named = re.findall(r"`([a-z][^`]*)`", table)
    assert len(named) > 15
    for line in named:
        words = re.sub(r"[\[\]]", " ", line).split()
        assert complaint(command, words) is None, line


def test_every_command_is_named_in_readme(repository: Path, command: Command) -> None:
    text = (repository / "README.md").read_text()
    shown = [name for name, each in command.commands.items() if not each.hidden]
    lacking = [name for name in shown if not re.search(rf"`{name}\b|delineate {name}\b", text)]
    assert lacking == []


def test_every_target_of_make_that_a_document_names_exists(repository: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", (repository / "Makefile").read_text()))
    for document in DOCUMENTS:
        text = (repository / document).read_text()
        assert set(re.findall(r"`make ([a-z]+)`|(?m:^make ([a-z]+))", text)) <= {
            pair for each in targets for pair in ((each, ""), ("", each))
        }


def test_every_file_that_a_document_links_to_exists(repository: Path) -> None:
    for document in (*DOCUMENTS, "docs/decisions/README.md"):
        file = repository / document
        for target in re.findall(r"\]\((?!http)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{document}: {target}"


def test_every_key_of_the_configuration_that_a_document_names_exists(repository: Path) -> None:
    schema = json_schema()

    def keys(at: object) -> Iterator[str]:
        if isinstance(at, dict):
            for name, value in at.items():
                if name == "properties":
                    yield from value
                yield from keys(value)
        elif isinstance(at, list):
            for each in at:
                yield from keys(each)

    known = set(keys(schema))
    for document in ("README.md", "docs/operations.md", "docs/conformance.md"):
        text = (repository / document).read_text()
        for named in re.findall(r"`(?:node|disk|destinations\.\*)\.([a-z_.]+)`", text):
            assert set(named.split(".")) <= known, f"{document}: {named}"


def test_every_code_that_operations_names_is_one_of_the_programs(repository: Path) -> None:
    program = "\n".join(file.read_text() for file in (repository / "service").rglob("*.py"))
    named = re.findall(r"`((?:series|spool|arrival|job|delivery|model)\.[a-z-]+)`", (repository / "docs/operations.md").read_text())  # fmt: skip
    named = [code for code in named if not code.endswith(".sqlite")]
    assert named
    for code in named:
        assert f'"{code}"' in program, code


def pinned(repository: Path) -> dict[str, str]:
    lines = (repository / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version.strip() for name, version in pairs}


def requirements(repository: Path) -> list[Requirement]:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    return [each for each in map(Requirement, named) if each.name != project["name"]]


def test_pinned_versions_are_within_the_ranges(repository: Path) -> None:
    pins = pinned(repository)
    for requirement in requirements(repository):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not pinned"
        assert requirement.specifier.contains(pins[name]), name


def test_every_library_we_ask_for_is_in_notice_and_gpl_is_not_installed(repository: Path) -> None:
    notice = (repository / "NOTICE").read_text().casefold()
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        assert requirement.name.casefold() in notice, requirement.name
    assert not [
        each.metadata["Name"]
        for each in importlib.metadata.distributions()
        if canonicalize_name(each.metadata["Name"] or "") == "pylibjpeg-libjpeg"
    ]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("service.node.supervisor", {"torch", "pydicom", "pynetdicom", "dbos", "numpy"}),
        ("service.arrival.reception", {"torch", "highdicom"}),
        ("service.node.work", {"torch"}),
        ("service.console.process", {"torch", "highdicom", "dbos", "pynetdicom", "SimpleITK"}),
        ("service.contouring.worker", {"torch"}),
        ("service.delivery.sender", {"torch"}),
        ("service.__main__", {"torch", "pydicom", "pynetdicom", "dbos", "highdicom", "numpy"}),
    ],
)
def test_a_process_does_not_import_what_is_not_its_own(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*({absent!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def sources(repository: Path) -> Iterator[tuple[str, str]]:
    for package in ("service", "models"):
        for file in sorted((repository / package).rglob("*.py")):
            yield str(file.relative_to(repository)), file.read_text()


def test_everything_is_caught_only_in_loop_bodies(repository: Path) -> None:
    found: dict[str, int] = {}
    for name, text in sources(repository):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler):
                kinds = ast.unparse(node.type) if node.type else "everything"
                if re.search(r"\b(Base)?Exception\b|everything", kinds):
                    found[name] = found.get(name, 0) + 1
    assert found == LOOPS_THAT_CATCH_EVERYTHING


def test_modules_and_functions_stay_small(repository: Path) -> None:
    for name, text in sources(repository):
        assert len(text.splitlines()) <= 300, name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60 or f"{name}:{node.name}" in TABLES_OF_SHAPES, f"{name}: {node.name}"


def test_nothing_is_left_for_later_and_nothing_is_called_utils(repository: Path) -> None:
    for name, text in sources(repository):
        assert not re.search(r"\b(TODO|FIXME|raise NotImplementedError)\b", text), name
        assert Path(name).stem not in {"utils", "helpers", "common", "manager"}


def test_continuous_integration_runs_the_tests(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()
    recipe = (repository / "Makefile").read_text().partition("\ntest:")[2].partition("\n\n")[0]
    for step in ("setup/debian.sh", "setup/peers.sh", "check", ".venv/bin/pytest"):
        assert step in recipe


def test_peers_are_called_by_their_full_path(repository: Path) -> None:
    programs = "storescu|storescp|echoscu|dcmdump|dcmconv|dcmodify|Orthanc|dciodvfy|plastimatch"
    for file in (repository / "tests").rglob("*.py"):
        bare = re.findall(rf'\[\s*"(?:{programs})"', file.read_text())
        assert bare == [], file.name
