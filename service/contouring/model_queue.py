"""Jobs in line for the models: while one is segmented the next is decoded and the one before is contoured.

The GPU is what a queue of CTs waits for, so it must not wait itself. A CT is decoded before its turn, into
memory that the model process can read; the turn is taken with the CT in hand and given up as soon as the
model has answered. No more CTs are decoded ahead than there are models, however many jobs there are.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import numpy as np

from service.contouring.ct_memory import KEPT

if TYPE_CHECKING:
    from models.cards.card import Card
    from models.volume import Grid, Segmentation
    from service.contouring.ct_memory import Fill
    from service.contouring.segment import ModelClient, Progress

T = TypeVar("T")

JOBS_A_MODEL: Final = 3
"""One that is decoded, one in the model, one that is contoured and written."""


class ModelQueue:
    """The models of this process and who waits for them.

    Args:
        models: one client for each GPU.
    """

    def __init__(self, models: Sequence[ModelClient]) -> None:
        self._models = Places(models)
        self._decoding = Places(range(len(models)))
        self.count = len(models)

    def turn(self, priority: int) -> Turn:
        """What a job of this priority asks instead of a model; 1 comes first."""
        return Turn(self._models, self._decoding, priority)

    @contextmanager
    def model(self, priority: int = 1) -> Iterator[ModelClient]:
        """A model for as long as this lasts."""
        with self._models.place(priority) as client:
            yield client


class Turn:
    """One job's place in the line; to be asked as a model process is."""

    def __init__(self, models: Places[ModelClient], decoding: Places[int], priority: int) -> None:
        self._models = models
        self._decoding = decoding
        self._priority = priority

    def segment(  # noqa: PLR0913 - as the model process has it
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
        """See :meth:`service.contouring.segment.ModelClient.segment`; the deadline leaves the waiting out."""
        with ExitStack() as decoding:
            decoding.enter_context(self._decoding.place(self._priority))
            memory = KEPT.filled(fill, grid, dtype)
            try:
                decoded_at = time.perf_counter()
                with self._models.place(self._priority) as client:  # nothing else is decoded until we have it
                    decoding.close()
                    waited = time.perf_counter() - decoded_at
                    found = client.segment(
                        memory,
                        grid,
                        dtype,
                        card,
                        structures,
                        deadline_seconds=deadline_seconds,
                        progress=progress,
                    )
            finally:
                KEPT.give_back(memory)
        return replace(found, seconds={**found.seconds, "waited_for_model": waited})


class Places(Generic[T]):
    """Things that are lent, to the most urgent first and among equals to who came first."""

    def __init__(self, things: Iterable[T]) -> None:
        self._free = list(things)
        self._waiting: list[tuple[int, int, _Waiter[T]]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def take(self, priority: int) -> T:
        """One of them, waited for if need be; priority 1 comes first."""
        with self._lock:
            if self._free:
                return self._free.pop(0)
            waiter: _Waiter[T] = _Waiter()
            heapq.heappush(self._waiting, (priority, next(self._numbers), waiter))
        waiter.served.wait()
        return waiter.things[0]

    def give_back(self, thing: T) -> None:
        """It goes to who is next, or waits itself."""
        with self._lock:
            if self._waiting:
                _, _, waiter = heapq.heappop(self._waiting)
                waiter.things.append(thing)
                waiter.served.set()
            else:
                self._free.append(thing)

    @contextmanager
    def place(self, priority: int) -> Iterator[T]:
        """One of them for as long as this lasts."""
        thing = self.take(priority)
        try:
            yield thing
        finally:
            self.give_back(thing)


class _Waiter(Generic[T]):
    """Somebody who waits, and what was brought."""

    def __init__(self) -> None:
        self.served = threading.Event()
        self.things: list[T] = []
