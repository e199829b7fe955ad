"""What the whole command line does before and after a command."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from service.__main__ import application, main


def test_it_says_its_version():
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    result = CliRunner().invoke(application(), ["--version"])
    assert (result.exit_code, result.output) == (0, f"delineate {project['version']}\n")


def test_help_names_the_exit_codes():
    result = CliRunner().invoke(application(), ["--help"])
    assert result.exit_code == 0
    assert "Exit codes: 0 done" in result.output
    assert "What stands before every command" not in result.output


def test_every_command_finds_the_configuration_that_the_environment_names():
    def options(group, words=()):
        for name, command in getattr(group, "commands", {}).items():
            yield from options(command, (*words, name))
        yield from ((words, each.envvar) for each in group.params if "--config" in each.opts)

    found = dict(options(get_command(application())))
    assert ("jobs",) in found
    assert ("contour",) in found
    assert set(found.values()) == {"DELINEATE_CONFIG"}


def test_a_file_that_cannot_be_written_is_named_without_a_traceback(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(sys, "argv", ["delineate", "demo", "--out", str(tmp_path / "file" / "demo")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"file.unusable: {tmp_path / 'file' / 'demo'}: Not a directory\n"
