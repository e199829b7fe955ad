"""What a person chooses for a run, and what came of each row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from service.retrieval.hours import Hours

LATER: Final = 900
"""Priority of what is pulled unless another is asked for: the clinic's CT come before it."""


@dataclass(frozen=True, slots=True)
class Choices:
    """How a run is done.

    Attributes:
        archive: its name in the configuration.
        who: the login that asks for it.
        protocol: by which every CT is contoured; None for by routes.
        destinations: where sets of ``protocol`` go.
        priority: of the jobs; 1 runs first.
        ahead: no further CT is pulled while so many wait to be contoured.
        between: hours in which CT are pulled; None for at any time.
    """

    archive: str
    who: str
    protocol: str | None = None
    destinations: tuple[str, ...] = ()
    priority: int = LATER
    ahead: int = 4
    between: Hours | None = None


@dataclass(slots=True)
class RowResult:
    """What came of one row.

    Attributes:
        row: its number.
        series: the ledger's numbers of its CT.
        pulled: how many of them were pulled now.
        here: how many were here before.
        images: that came for it now.
        code, sentence: why it is not done, of the first CT that failed; None if it is done.
        earlier: the journal says that it was done before.
    """

    row: int
    series: list[int] = field(default_factory=list)
    pulled: int = 0
    here: int = 0
    images: int = 0
    code: str | None = None
    sentence: str | None = None
    earlier: bool = False


class Show(Protocol):
    """Who shows how a run goes on."""

    def row(self, result: RowResult) -> None:
        """A row has ended."""

    def image(self) -> None:
        """The node has acknowledged an image."""

    def says(self, sentence: str) -> None:
        """What is waited for; empty when it goes on."""
