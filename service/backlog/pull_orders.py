"""What `delineate pull` has ordered: one small file a series, by which arrival knows it when it comes.

An order says how many images the archive has promised, so that the series is complete by count and not by
silence, and how it is to be contoured. It counts for what comes with the archive's AE title within a day, and
is gone once the series is recorded. No file holds a UID or a patient's value.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from service.backlog.spool import hashed, write_durably

ORDER_SECONDS: Final = 86400.0
"""An order that nothing followed for so long counts no more: the CT may come from elsewhere one day."""

_LARGEST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class PullOrder:
    """What is to become of one series.

    Attributes:
        archive: its name in the configuration.
        ae_title: with which calling AE title it comes.
        instances: how many images it has; 0 if the archive does not say.
        who: the login that asked for it.
        priority: its jobs run after those of smaller numbers.
        protocol: by which it is contoured; None for by routes.
        destinations: where sets of ``protocol`` go; nowhere if empty.
        at: when it was placed, seconds since the epoch.
        study: a hash of its study's UID; empty if an earlier version placed it.
    """

    archive: str
    ae_title: str
    instances: int
    who: str
    priority: int
    protocol: str | None = None
    destinations: tuple[str, ...] = ()
    at: float = 0.0
    study: str = ""

    def is_of(self, study_instance_uid: str) -> bool:
        """Whether it is for a series of that study."""
        return self.study in ("", hashed(study_instance_uid))


class PullOrders:
    """The orders of a node.

    Args:
        storage: its storage folder.
        clock: seconds since the epoch.
    """

    def __init__(self, storage: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = storage / "pulls" / "orders"
        self._clock = clock

    def place(self, series_instance_uid: str, order: PullOrder) -> None:
        """Order a series, before it is asked for.

        Raises:
            SpoolUnavailable: the disk is full, read-only or failing.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = json.dumps(asdict(order) | {"at": self._clock()})
        write_durably(self._file(series_instance_uid), text.encode())

    def find(self, series_instance_uid: str, ae_title: str) -> PullOrder | None:
        """The order of a series that comes with that calling AE title; None if there is none that counts."""
        try:
            with self._file(series_instance_uid).open("rb") as file:
                found = json.loads(file.read(_LARGEST_BYTES))
            order = PullOrder(**found | {"destinations": tuple(found["destinations"])})
            counts = abs(self._clock() - order.at) < ORDER_SECONDS  # the clocks of two processes may differ
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return order if counts and order.ae_title == ae_title.strip() else None

    def forget_old(self) -> None:
        """Remove the orders that count no more."""
        with suppress(OSError):
            for file in self._folder.glob("*.json"):
                if self._clock() - file.stat().st_mtime > ORDER_SECONDS:
                    file.unlink(missing_ok=True)

    def fulfil(self, series_instance_uid: str) -> None:
        """The series is recorded, or will not come."""
        self._file(series_instance_uid).unlink(missing_ok=True)

    def _file(self, series_instance_uid: str) -> Path:
        return self._folder / f"{hashed(series_instance_uid)}.json"
