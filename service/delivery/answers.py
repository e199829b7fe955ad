"""Answers to a sender that sends one instance after the other, kept from a thread that would take them.

pynetdicom reads messages of an association in a thread of its own and pauses that while C-STORE waits for its
answer. Whether the thread is paused it tells by a flag that the thread sets before it sleeps and clears after
it has woken: where the next C-STORE begins before it has woken, the flag still says "paused", and the thread
may take the answer of a peer that is quick, and throw it away. The sender then waits until its timeout. Seen
with pynetdicom 3.0.4 and a receiver that answers within a millisecond.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynetdicom.association import Association

_LOOK_EVERY_SECONDS = 0.1


class _Closed(threading.Event):
    """A checkpoint that stays closed whoever would open it, and knows that somebody waits at it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def set(self) -> None:
        """Stay closed."""

    def open(self) -> None:
        """Let pass."""
        super().set()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


@contextmanager
def answers_kept(association: Association) -> Iterator[None]:
    """While the body sends, the association's own thread takes no message; release it afterwards."""
    before, closed = association._reactor_checkpoint, _Closed()
    association._reactor_checkpoint = closed
    try:
        while association.is_alive() and not closed.reached.wait(_LOOK_EVERY_SECONDS):
            pass
        yield
    finally:
        association._reactor_checkpoint = before
        before.set()
        closed.open()
