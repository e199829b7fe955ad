"""What the worker process does about structure sets that came back: finds them, compares them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from service.contouring.kept_grid import grid_of
from service.evaluation.review_worker import ReviewWorker
from service.evaluation.set_intake import SetIntake, keep_taking_in
from service.node.destination_query import DestinationQuery, keep_asking

if TYPE_CHECKING:
    from models.volume import Grid
    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.records import Job
    from service.backlog.spool import Spool
    from service.config.reader import WatchedSite


class Reviewing:
    """The handler of the queue ``review``, and the threads that fill it."""

    def __init__(self, site: WatchedSite, ledger: Ledger, engine: EngineClient, spool: Spool) -> None:
        def grid(job: Job) -> Grid:
            return grid_of(job, spool.jobs / job.id)

        self.worker = ReviewWorker(site.current, ledger, spool, grid)
        self._site = site.current
        self._query = DestinationQuery(site.current, ledger, spool)
        self._intake = SetIntake(lambda: site.current().site.evaluation.enabled, spool, ledger, engine)

    def start(self, stop: threading.Event) -> None:
        """Look for new sets, and ask for them by night, until ``stop``."""
        intake, query = (self._intake, stop), (self._query, self._site, stop)
        threading.Thread(target=keep_taking_in, args=intake, name="reviews", daemon=True).start()
        threading.Thread(target=keep_asking, args=query, name="review-query", daemon=True).start()
