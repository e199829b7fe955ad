"""When a copy of a node is refused, and what is in one. The copy of a running node: tests/acceptance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.backlog import ledger_tables as tables
from service.backlog.backup import MANIFEST, UNFINISHED, BackupRefused, backup, refuse_unfinished, restore
from service.backlog.ledger import Ledger
from service.backlog.spool import Spool
from service.config.reader import LoadedSite, parse

CONFIG = """
node: {storage: var, database: sqlite}
senders: {ECLIPSE: null}
destinations: {tps: {ae_title: TPS, host: 127.0.0.1, port: 11113}}
protocols: {external: {model: external@1.0, structures: {External: null}}}
routes: [{name: all, when: {Modality: CT}, contour: external, send_to: [tps], mode: send}]
"""


def node_in(folder: Path, *, used: bool = True, database: str = "sqlite") -> LoadedSite:
    folder.mkdir()
    text = CONFIG.replace("database: sqlite", f"database: {database.replace('+psycopg', '')}")
    loaded = parse(text, folder / "config.yaml", check_bundles=False)
    loaded.storage.mkdir()
    if used:
        ledger = Ledger(loaded.database_url, loaded.storage)
        ledger.migrate()
        ledger.close()
    return loaded


@pytest.fixture
def node(tmp_path):
    return node_in(tmp_path / "node")


@pytest.fixture
def other(tmp_path):
    """An empty one."""
    return node_in(tmp_path / "other", used=False)


def code_of(doing, *arguments) -> str:
    with pytest.raises(BackupRefused) as caught:
        doing(*arguments)
    return caught.value.code


def test_a_copy_does_not_lie_in_what_is_copied(node):
    assert code_of(backup, node, node.storage / "copy") == "backup.inside-storage"


def test_there_must_be_a_database(other, tmp_path):
    assert code_of(backup, other, tmp_path / "copy") == "backup.no-database"


def test_a_folder_without_a_finished_copy_is_refused(node, other, tmp_path):
    assert code_of(restore, other, tmp_path) == "restore.no-backup"
    backup(node, tmp_path / "copy")
    (tmp_path / "copy" / MANIFEST).unlink()
    assert code_of(restore, other, tmp_path / "copy") == "restore.no-backup"


def test_what_is_there_is_never_overwritten(node, tmp_path):
    backup(node, tmp_path / "copy")
    assert code_of(restore, node, tmp_path / "copy") == "restore.not-empty"


def test_a_copy_of_a_newer_program_is_refused(node, other, tmp_path):
    backup(node, tmp_path / "copy")
    manifest = tmp_path / "copy" / MANIFEST
    found = json.loads(manifest.read_text())
    assert found["schema_version"] == tables.SCHEMA_VERSION
    manifest.write_text(json.dumps(found | {"schema_version": tables.SCHEMA_VERSION + 1}))
    assert code_of(restore, other, tmp_path / "copy") == "restore.newer"


def test_a_copy_is_for_the_kind_of_database_it_was_made_of(node, other, tmp_path):
    backup(node, tmp_path / "copy")
    manifest = tmp_path / "copy" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"database": "database.dump"}))
    assert code_of(restore, other, tmp_path / "copy") == "restore.other-database"


def test_what_was_filled_half_does_not_start(node):
    refuse_unfinished(node.storage)
    (node.storage / UNFINISHED).touch()
    assert code_of(refuse_unfinished, node.storage) == "restore.unfinished"


def test_files_come_back_with_their_times_and_what_was_purged_does_not_live_on(node, other, tmp_path):
    spool = Spool(node.storage)
    stored = [spool.store("2.25.1", f"2.25.1.{k}", [f"instance {k}".encode()]).file for k in range(2)]
    (stored[0].parent / ".half.part").write_bytes(b"being written")
    assert backup(node, tmp_path / "copy").files == 2
    stored[0].unlink()
    assert backup(node, tmp_path / "copy").files == 1
    assert restore(other, tmp_path / "copy").files == 1
    (file,) = other.storage.rglob("*.dcm")
    assert file.relative_to(other.storage) == stored[1].relative_to(node.storage)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (b"instance 1", stored[1].stat().st_mtime_ns)
    assert not list(other.storage.rglob("*.part"))
    Ledger(other.database_url).check()


def test_what_the_database_holds_is_of_one_moment_and_whole(node, other, tmp_path):
    ledger = Ledger(node.database_url)
    with ledger.begin() as conn:
        ledger.save_config(conn, "v1", "the first")
    with ledger.begin() as conn:  # under way while the copy is made, and not in it
        ledger.save_config(conn, "v2", "the second")
        backup(node, tmp_path / "copy")
    ledger.close()
    restore(other, tmp_path / "copy")
    copy = Ledger(other.database_url)
    with copy.reading() as conn:
        assert conn.execute(tables.config.select()).mappings().one()["version"] == "v1"
    copy.close()


@pytest.mark.peer
def test_a_database_on_a_server_comes_back_in_an_empty_one_only(postgresql, tmp_path):
    node = node_in(tmp_path / "node", database=postgresql.new_database())
    ledger = Ledger(node.database_url, node.storage)
    with ledger.begin() as conn:
        ledger.save_config(conn, "v1", "the text")
    ledger.close()
    backup(node, tmp_path / "copy")
    assert (
        code_of(restore, node_in(tmp_path / "sqlite", used=False), tmp_path / "copy")
        == "restore.other-database"
    )
    assert code_of(restore, node, tmp_path / "copy") == "restore.not-empty"
    other = node_in(tmp_path / "other", used=False, database=postgresql.new_database())
    restore(other, tmp_path / "copy")
    copy = Ledger(other.database_url, other.storage)
    copy.check()
    with copy.reading() as conn:
        assert conn.execute(tables.config.select()).mappings().one()["text"] == "the text"
    copy.close()


@pytest.mark.peer
def test_a_server_that_is_away_leaves_no_copy(postgresql, tmp_path):
    node = node_in(tmp_path / "node", used=False, database=postgresql.url("no_such_database"))
    with pytest.raises(BackupRefused, match="pg_dump ended with") as caught:
        backup(node, tmp_path / "copy")
    assert caught.value.code == "backup.tool-failed"
    assert not (tmp_path / "copy" / MANIFEST).exists()
