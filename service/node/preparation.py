"""What must be so before any process starts: a good configuration and tables that are up to date."""

from __future__ import annotations

import os
from pathlib import Path

from service.backlog import engine
from service.backlog.ledger import Ledger
from service.backlog.spool import write_durably
from service.config.reader import AT_START, load
from service.node.prepared import Prepared
from service.node.storage_lock import take_storage_lock


def prepare(config: Path) -> Prepared:
    """Check the configuration and migrate the database.

    Raises:
        ConfigInvalid: with every mistake.
        AlreadyRunning: a node runs in the storage folder; nothing was migrated under it.
    """
    loaded = load(config)
    lock = take_storage_lock(loaded.storage)
    try:
        ledger = Ledger(loaded.database_url, loaded.storage)
        ledger.migrate()
        engine.migrate(loaded.database_url)
        with ledger.begin() as conn:
            ledger.save_config(conn, loaded.version, loaded.text)
        ledger.close()
        copy = loaded.storage / AT_START
        write_durably(copy, loaded.text.encode())
    finally:
        os.close(lock)
    return Prepared(str(loaded.storage), loaded.site.node.ae_title, str(copy))
