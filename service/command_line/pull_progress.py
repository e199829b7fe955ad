"""How a run goes on: a bar on a terminal, a line for each row elsewhere. Rows are numbers, never patients."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from service.retrieval.choices import RowResult

_MOST_RANGES: Final = 20


class Progress:
    """Shows a run of so many rows.

    Args:
        rows: how many there are.
        clock: seconds since any moment.
    """

    def __init__(self, rows: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows = rows
        self._ended = self._earlier = self._images = self._ct = 0
        self._begun = clock()
        self._said = ""
        self._bar: Bar | None = None
        if sys.stdout.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, transient=True)
            self._task = self._bar.add_task("rows", total=rows)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def row(self, result: RowResult) -> None:
        """See :class:`service.retrieval.choices.Show`."""
        self._ended += 1
        self._earlier += result.earlier
        self._ct += result.pulled
        if self._bar is not None:
            self._bar.advance(self._task)
            self._describe()
        elif not result.earlier:
            self.line(
                f"row {result.row}: {self._outcome(result)}; {self._ended} of {self._rows}{self._pace()}"
            )

    def image(self) -> None:
        """See :class:`service.retrieval.choices.Show`."""
        self._images += 1
        if self._bar is not None and self._images % 25 == 0:
            self._describe()

    def says(self, sentence: str) -> None:
        """See :class:`service.retrieval.choices.Show`."""
        if sentence == self._said:
            return
        begins, self._said = sentence.partition(" ")[2], sentence
        if self._bar is not None:
            self._describe()
        elif begins:
            self.line(sentence)

    def line(self, text: str) -> None:
        """A line above the bar, or on standard output."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, flush=True)

    def _describe(self) -> None:
        if self._bar is not None:
            minutes = max(self._clock() - self._begun, 1.0) / 60
            text = self._said or f"{self._images} images, {self._ct / minutes:.1f} CT/min"
            self._bar.update(self._task, description=text)

    def _pace(self) -> str:
        minutes = max(self._clock() - self._begun, 1.0) / 60
        rate = (self._ended - self._earlier) / minutes
        left = (self._rows - self._ended) / rate
        said = f", {rate:.1f} rows/min"
        return f"{said}, about {left:.0f} min left" if self._ended < self._rows else said

    @staticmethod
    def _outcome(result: RowResult) -> str:
        if result.code is not None and not result.series:
            return result.code
        said = f"{result.pulled} CT pulled, {result.images} images, {result.here} were here"
        return said if result.code is None else f"{said}, {result.code}"


def ranges(rows: Sequence[int]) -> str:
    """Numbers of rows as people write them: 1-3, 7."""
    found: list[list[int]] = []
    for row in sorted(rows):
        if found and row == found[-1][1] + 1:
            found[-1][1] = row
        else:
            found.append([row, row])
    said = [str(first) if first == last else f"{first}-{last}" for first, last in found[:_MOST_RANGES]]
    return ", ".join(said) + (", ..." if len(found) > _MOST_RANGES else "")
