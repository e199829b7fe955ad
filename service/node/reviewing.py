"""What the worker process does about structure sets that came back: finds them, compares them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from service.contouring.kept_geometry import geometry_of
from service.evaluation.review_worker import ReviewWorker
from service.evaluation.set_intake import SetIntake, keep_taking_in

if TYPE_CHECKING:
    from service.backlog.engine import EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.records import Job
    from service.backlog.spool import Spool
    from service.config.reader import WatchedSite
    from service.dicom.ct_geometry import CtGeometry


class Reviewing:
    """The handler of the queue ``review`` and the thread that fills it."""

    def __init__(self, site: WatchedSite, ledger: Ledger, engine: EngineClient, spool: Spool) -> None:
        def geometry(job: Job) -> CtGeometry:
            return geometry_of(job, spool.jobs / job.id)

        self.worker = ReviewWorker(site.current, ledger, spool, geometry)
        self._intake = SetIntake(lambda: site.current().site.evaluation.enabled, spool, ledger, engine)

    def start(self, stop: threading.Event) -> None:
        """Look for new sets until ``stop``."""
        arguments = (self._intake, stop)
        threading.Thread(target=keep_taking_in, args=arguments, name="reviews", daemon=True).start()
