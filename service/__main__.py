"""The command line: each file of ``command_line`` brings its commands, imported when it is asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version as version_of
from typing import Annotated

import typer

COMMAND_FILES = (
    "node", "configuration", "backlog", "backup", "promotion", "delivery", "pull", "contouring",
    "users", "audit", "reviews", "quality", "phantom", "models", "data", "training", "evaluation", "demo",
)  # fmt: skip
_EXIT_CODES = (
    "Exit codes: 0 done; 1 something is not as it should be, and the command says what; 2 refused, with "
    "a code and a sentence that says what to do."
)


def application() -> typer.Typer:
    """Every command in one application."""
    app = typer.Typer(
        name="delineate",
        help="A DICOM node that receives a planning CT and returns an RT Structure Set.",
        epilog=_EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_whole)
    for name in COMMAND_FILES:
        app.add_typer(import_module(f"service.command_line.{name}").app)
    return app


def main() -> None:
    """Run the command line; a refusal ends with its sentence and exit code 2, an unusable file with 1."""
    from service.errors import NodeError

    try:
        application()()
    except NodeError as error:
        print(f"{error.code}: {error.sentence}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"file.unusable: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"delineate {version_of('delineate')}")
        raise typer.Exit


def _whole(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="print the version")
    ] = False,
) -> None:
    """What stands before every command: nothing but the version."""


if __name__ == "__main__":
    main()
