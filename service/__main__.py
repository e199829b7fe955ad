"""The command line: each file of ``command_line`` brings its commands, imported when it is asked for."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

COMMAND_FILES = (
    "node", "configuration", "backlog", "backup", "promotion", "delivery", "pull", "contouring",
    "users", "audit", "reviews", "quality", "phantom", "models", "data", "training", "evaluation", "demo",
)  # fmt: skip


def application() -> typer.Typer:
    """Every command in one application."""
    app = typer.Typer(
        name="delineate",
        help="A DICOM node that receives a planning CT and returns an RT Structure Set.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name in COMMAND_FILES:
        app.add_typer(import_module(f"service.command_line.{name}").app)
    return app


def main() -> None:
    """Run the command line; a refusal ends with its sentence and exit code 2."""
    from service.errors import NodeError

    try:
        application()()
    except NodeError as error:
        print(f"{error.code}: {error.sentence}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
