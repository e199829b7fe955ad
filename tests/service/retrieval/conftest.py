"""Fixtures of a node in this process and an archive that is told what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from retrieval_desk import NodeHere, ToldArchive

from service.backlog.engine import migrate
from service.backlog.ledger import Ledger


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "delineate.sqlite"
    ledger = Ledger(f"sqlite:///{file}", file.parent)
    ledger.migrate()
    ledger.close()
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def told() -> Iterator[ToldArchive]:
    archive = ToldArchive()
    yield archive
    archive.close()


@pytest.fixture
def make_node(tmp_path: Path, migrated_file: Path) -> Iterator[Callable[..., NodeHere]]:
    made: list[NodeHere] = []

    def make(archive: dict[str, Any], **sections: Any) -> NodeHere:
        folder = tmp_path / f"node{len(made)}"
        folder.mkdir()
        shutil.copyfile(migrated_file, folder / "delineate.sqlite")
        made.append(NodeHere(folder, archive, **sections))
        return made[-1]

    yield make
    for node in made:
        node.close()


@pytest.fixture
def node(make_node: Callable[..., NodeHere], told: ToldArchive) -> NodeHere:
    return make_node({"host": "127.0.0.1", "port": told.port})
