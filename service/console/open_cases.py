"""CTs that somebody looks at: their headers stay read for a while, their pixels never."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from service.backlog.records import Job
    from service.contouring.ct_series import CtSeries

_KEPT: Final = 4


class OpenCases:
    """The last few CTs by job and revision; may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: OrderedDict[tuple[str, int], CtSeries] = OrderedDict()

    def series(self, job: Job) -> CtSeries:
        """The CT of a job.

        Raises:
            SeriesRefused: its files are gone, or cannot be contoured; the code and the sentence say why.
        """
        key = (job.id, job.revision)
        with self._lock:
            found = self._series.get(key)
            if found is None:
                from service.contouring.ct_series import CtSeries

                found = self._series[key] = CtSeries.read(job.files)
                if len(self._series) > _KEPT:
                    self._series.popitem(last=False)
            self._series.move_to_end(key)
            return found
