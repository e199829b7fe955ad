"""A console with a ledger behind it, and people who may use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_desk import PASSWORD, Desk
from starlette.testclient import TestClient

from service.backlog import engine
from service.backlog.accounts import Accounts
from service.backlog.ledger import Ledger
from service.backlog.roles import Role
from service.backlog.sign_in import SignIns
from service.backlog.spool import Spool
from service.config.reader import WatchedSite
from service.console.application import application
from service.console.premises import Premises

CONFIG = """
node: {storage: ./var, timezone: Europe/Stockholm, disk: {reserve_gb: 0.001}}
console: {port: 0}
senders: {SCANNER: {addresses: [127.0.0.1]}}
destinations: {eclipse: {ae_title: ECLIPSE, host: 127.0.0.1, port: 1, timeout_seconds: 2}}
protocols: {external: {model: external@1.0, structures: {External: }}}
routes: [{name: all, when: {Modality: CT}, contour: external, send_to: [eclipse], mode: send}]
"""


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated SQLite file with a person of each role."""
    file = tmp_path_factory.mktemp("migrated") / "delineate.sqlite"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.migrate()
    engine.migrate(ledger.database_url)
    accounts = Accounts(ledger)
    for role in Role:
        accounts.add(role.value, role, PASSWORD)
    ledger.close()
    connection = sqlite3.connect(file)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    return file.read_bytes()


@pytest.fixture
def desk(tmp_path: Path, migrated: bytes) -> Iterator[Desk]:
    """A console over SQLite."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "delineate.sqlite").write_bytes(migrated)
    Spool(tmp_path / "var")
    premises = Premises(WatchedSite(config, settle_seconds=0.0))
    with TestClient(
        application(premises), base_url="http://127.0.0.1", raise_server_exceptions=False
    ) as client:
        yield Desk(tmp_path, premises, client)
    premises.close()


@pytest.fixture
def sign_ins(desk: Desk) -> SignIns:
    return desk.premises.sign_ins
