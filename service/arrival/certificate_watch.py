"""Tells people of certificates that end soon, before connections fail because of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from service.config.certificates import ending_soon
from service.config.mistakes import key_text
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.backlog.notify import Notifies
    from service.config.site import Site

_EVERY_SECONDS: Final = 6 * 3600.0
_AGAIN_DAYS: Final = (30, 7, 1, 0)
"""A person is told when so many days are left; the log says it at each look."""

_log = EventLog("tls")


class CertificateWatch:
    """Looks at the certificates that the configuration names.

    Args:
        site: the configuration in force.
        notify: told.
        clock: seconds since the epoch.
    """

    def __init__(
        self, site: Callable[[], Site], notify: Notifies, clock: Callable[[], float] = time.time
    ) -> None:
        self._site = site
        self._notify = notify
        self._clock = clock
        self._next = 0.0
        self._told: dict[str, int] = {}

    def look(self) -> None:
        """Look if it is time to; cheap enough for every turn of a loop."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + _EVERY_SECONDS
        near = {
            key_text(end.path): (end.days_left(now), said) for end, said in ending_soon(self._site(), now)
        }
        for key, (days, sentence) in near.items():
            _log.warning("tls.certificate-ends", kind=key, seconds=round(days * 86400))
            stage = min(limit for limit in (*_AGAIN_DAYS, 10**6) if days <= limit)
            if self._told.get(key) != stage:
                self._told[key] = stage
                self._notify.tell("tls.certificate-ends", f"The file of {key} {sentence}.")
        self._told = {key: stage for key, stage in self._told.items() if key in near}
