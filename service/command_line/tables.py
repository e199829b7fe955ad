"""Tables on the terminal, and in pipes and files, where nothing is shortened or wrapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_UNBOUNDED = 100_000  # columns: a table takes only what its longest lines need


def printable(text: str) -> str:
    """A text of unknown origin as it may go to a terminal: no colour, no command, no title of a window."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def print_table(table: Table) -> None:
    """As wide as the terminal, or as wide as the text where there is none."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    console.print(table)
