"""A destination that notes when sets come, notices the same set twice at once, and can be away for a while."""

from __future__ import annotations

import threading
import time
from collections import Counter

from pynetdicom import evt
from running_node import ReceivingTps, series_of

_WRITING_SECONDS = 0.02


class Destination(ReceivingTps):
    """A Storage SCP that takes a moment to write what it gets.

    Attributes:
        at: when each set was stored, by the monotonic clock.
        overlapping: how often a set came while the same one was still being written.
    """

    def __init__(self, ae_title: str) -> None:
        self.at: list[float] = []
        self.overlapping = 0
        self._writing: set[str] = set()
        self._desk = threading.Lock()
        super().__init__(ae_title)

    def _store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        with self._desk:
            self.overlapping += uid in self._writing
            self._writing.add(uid)
        time.sleep(_WRITING_SECONDS)
        status = super()._store(event)
        with self._desk:
            self._writing.discard(uid)
            self.at.append(time.monotonic())
        return status

    def sets_of_series(self) -> Counter[str]:
        """How many different structure sets there are of each series."""
        return Counter(series_of(ds) for ds in self.structure_sets())
