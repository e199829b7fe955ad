"""Commands about a copy of the whole node: backup and restore."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

Config = Annotated[
    Path, typer.Option("--config", envvar="DELINEATE_CONFIG", help="the configuration file", dir_okay=False)
]
_DEFAULT = Path("config.yaml")


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="where the copy goes, or is renewed")],
    config: Config = _DEFAULT,
) -> None:
    """Copy database and files of the node, which may go on working; it holds patients as the node does."""
    from service.backlog.backup import backup as make
    from service.config.in_force import load_in_force

    loaded, _ = load_in_force(config)
    copied = make(loaded, folder)
    print(f"Copied the database and {copied.files} files ({copied.bytes / 1e9:.3f} GB).")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="a copy that `backup` made")],
    config: Config = _DEFAULT,
) -> None:
    """Make the node of the configuration from a copy; its storage folder and database are empty."""
    from service.backlog.backup import restore as make
    from service.config.reader import load
    from service.node.storage_lock import take_storage_lock

    loaded = load(config)
    lock = take_storage_lock(loaded.storage)
    try:
        copied = make(loaded, folder)
    finally:
        os.close(lock)
    print(f"Restored the database and {copied.files} files ({copied.bytes / 1e9:.3f} GB). Start the node.")
