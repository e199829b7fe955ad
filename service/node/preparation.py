"""What must be so before any process starts: a good configuration and tables that are up to date.

The first arrival process sees to it on its way: a process of its own would load the same libraries once more,
and a CT would be let in a second later.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from service.backlog import engine
from service.backlog.backup import refuse_unfinished
from service.backlog.ledger import Ledger
from service.backlog.spool import write_durably
from service.config.reader import AT_START, load
from service.node.prepared import GO, Prepared
from service.node.storage_lock import take_storage_lock
from service.process_life import CONFIG_AT_START


def prepare(config: Path) -> Prepared:
    """Check the configuration and migrate the database.

    Raises:
        ConfigInvalid: with every mistake.
        AlreadyRunning: a node runs in the storage folder; nothing was migrated under it.
        BackupRefused: the storage folder was being restored and is half filled.
    """
    loaded = load(config)
    lock = take_storage_lock(loaded.host_folder)
    try:
        refuse_unfinished(loaded.storage)
        ledger = Ledger(loaded.database_url, loaded.storage)
        ledger.migrate()
        engine.migrate(loaded.database_url)
        with ledger.begin() as conn:
            ledger.save_config(conn, loaded.version, loaded.text)
        ledger.close()
        copy = loaded.host_folder / AT_START
        write_durably(copy, loaded.text.encode())
    finally:
        os.close(lock)
    node, console = loaded.site.node, loaded.site.console
    return Prepared(str(loaded.host_folder), node.ae_title, str(copy), console.enabled)


def prepare_for_parent(config: Path) -> bool:
    """Prepare, say so on standard output, and wait until the parent has the storage folder.

    Returns:
        Whether to go on; False if the parent lets go instead.

    Raises:
        ConfigInvalid, AlreadyRunning: see :func:`prepare`.
    """
    prepared = prepare(config)
    os.environ[CONFIG_AT_START] = prepared.config_at_start
    sys.stdout.write(f"{prepared.as_line()}\n")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nobody listens there any more
    return sys.stdin.buffer.readline() == GO
