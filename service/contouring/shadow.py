"""The handler of the queue ``shadow``: candidates, contoured when nobody waits for anything else.

A candidate must not hold up or fail what the clinic waits for. So its jobs have a queue of their own, which
takes no place of the others; one of them begins when no other job waits, is contoured or has just come; it
runs in a model process of its own, which computes only when no other process wants the cores, and which is
ended as soon as a real job comes: the shadow is then contoured later from the beginning. What fails in the
shadow is told by the ledger and the console alone, for nobody is called at night because of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import sqlalchemy as sa

from service.backlog.database import now
from service.backlog.engine import Stopped
from service.contouring.segment import ModelClient
from service.contouring.tries import GaveWay
from service.contouring.worker import ContourWorker
from service.errors import SegmentationFailed

if TYPE_CHECKING:
    from models.cards.card import Card
    from models.volume import Grid, Segmentation
    from service.backlog.engine import Again, EngineClient
    from service.backlog.ledger import Ledger
    from service.backlog.spool import Spool
    from service.config.reader import LoadedSite
    from service.contouring.ct_memory import Fill
    from service.contouring.segment import Progress

_LOOK_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.5
_QUIET_SECONDS: Final = 5.0
"""No other job must have come for so long: CTs come together, and what is broken off was for nothing."""


class BackgroundModels(ModelClient):
    """A model process of little priority that leaves a CT unfinished when somebody waits for another one.

    Args:
        loaded, gpu: as for every model process.
        somebody_waits: whether a real job waits or is contoured.
    """

    def __init__(self, loaded: LoadedSite, gpu: int, somebody_waits: Callable[[], bool]) -> None:
        super().__init__(loaded, gpu, in_background=True)
        self._somebody_waits = somebody_waits

    def segment(  # noqa: PLR0913 - as every model process has it
        self,
        fill: Fill,
        grid: Grid,
        dtype: np.dtype[Any],
        card: Card,
        structures: Sequence[str] | None,
        *,
        deadline_seconds: float,
        progress: Progress | None = None,
    ) -> Segmentation:
        """See :meth:`service.contouring.segment.ModelClient.segment`.

        Raises:
            GaveWay: a real job came; the process was ended.
        """
        over, gave_way = threading.Event(), threading.Event()
        watch = threading.Thread(target=self._give_way, args=(over, gave_way), name="shadow", daemon=True)
        watch.start()
        try:
            return super().segment(
                fill, grid, dtype, card, structures, deadline_seconds=deadline_seconds, progress=progress
            )
        except SegmentationFailed as failed:
            if not gave_way.is_set():
                raise
            sentence = "A CT that somebody waits for came; this one is contoured after it."
            raise GaveWay("shadow.gave-way", sentence) from failed
        finally:
            over.set()
            watch.join()

    def _give_way(self, over: threading.Event, gave_way: threading.Event) -> None:
        """End the model process, whatever it does, as long as somebody waits; until the CT is ``over``."""
        while not over.wait(_LOOK_AGAIN_SECONDS):
            try:
                waits = self._somebody_waits()
            except sa.exc.SQLAlchemyError:  # who reads the database for more than this tells of it
                continue
            if waits:
                gave_way.set()
                self.kill()


class ShadowWorker:
    """Handler of the engine's queue ``shadow``, one job at a time.

    Args:
        site, ledger, engine, spool: as the worker of real jobs has them.
        models: of its own.
        stop: set when this process is to end.
    """

    def __init__(
        self,
        site: Callable[[], LoadedSite],
        ledger: Ledger,
        engine: EngineClient,
        spool: Spool,
        models: BackgroundModels,
        stop: threading.Event,
    ) -> None:
        self._ledger = ledger
        self._models = models
        self._stop = stop
        self._worker = ContourWorker(site, ledger, engine, spool, (models,), _Nobody())

    def contour(self, payload: str) -> Again | None:
        """Contour the job that ``payload`` names, once nobody waits for another.

        Raises:
            Stopped: the process ends while it waits; the row is run again by the next one.
        """
        while self._ledger.awaits_contouring(created_since=now() - _QUIET_SECONDS):
            if self._stop.wait(_LOOK_SECONDS):
                raise Stopped
        try:
            return self._worker.contour(payload)
        finally:
            if not self._ledger.awaits_shadows():
                self._models.rest()

    def gave_up(self, payload: str) -> None:
        """The engine set a job aside."""
        self._worker.gave_up(payload)


class _Nobody:
    """Whom a shadow tells of its troubles."""

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        """Nothing: the ledger has it."""
