"""What a run asks of an archive, whichever way it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from service.retrieval.found import FoundSeries, Taken
    from service.retrieval.relay import Relay
    from service.retrieval.wanted import Wanted


class Source(Protocol):
    """An archive."""

    def find(self, wanted: Wanted) -> list[FoundSeries]:
        """The CT series that match, each once.

        Raises:
            PullFailed: it does not answer, or not as it should.
        """

    def retrieve(self, series: FoundSeries, relay: Relay, taken: Taken) -> None:
        """Have a series handed to the node; ``taken`` says how far it came, whatever happens.

        Raises:
            PullFailed: the archive could not send all of it.
            PullStopped: the node takes no more.
        """
