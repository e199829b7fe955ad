"""What the HTTP process has open: configuration, ledger, accounts, the engine once something is changed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from service.backlog.accounts import Accounts
from service.backlog.audit import AuditTrail
from service.backlog.ledger import Ledger
from service.backlog.sign_in import SignIns
from service.console.looks import Looks

if TYPE_CHECKING:
    from service.backlog.engine import EngineClient
    from service.backlog.operations import Operations
    from service.config.reader import LoadedSite, WatchedSite
    from service.console.openid import OpenId


class Premises:
    """Shared by all requests; every part may be used by several threads."""

    def __init__(self, site: WatchedSite, ending: threading.Event | None = None) -> None:
        self.site = site
        self.ending = ending or threading.Event()
        self.started_with = site.current()
        loaded = self.started_with
        self.storage = loaded.storage
        self.ledger = Ledger(loaded.database_url, loaded.storage)
        self.accounts = Accounts(self.ledger)
        self.sign_ins = SignIns(self.ledger)
        self.audit = AuditTrail(self.ledger)
        self.looks = Looks()
        self.openid: OpenId | None = None
        self._engine: EngineClient | None = None
        self._lock = threading.Lock()

    def loaded(self) -> LoadedSite:
        """The configuration in force."""
        return self.site.current()

    def engine(self) -> EngineClient:
        """The engine's client; its library is loaded when it is first needed."""
        with self._lock:
            if self._engine is None:
                from service.backlog.engine import EngineClient

                self._engine = EngineClient(self.started_with.database_url, patient=False)
            return self._engine

    def operations(self, who: str) -> Operations:
        """What may be done to jobs, in the name of ``who``."""
        from service.backlog.operations import Operations

        return Operations(self.ledger, self.engine(), who)

    def close(self) -> None:
        """Give the connections back."""
        if self._engine is not None:
            self._engine.close()
        self.ledger.close()
