"""A retrospective run: row after row found, retrieved, and recorded by the node, as much as it can take.

Whatever ends it, it goes on from there when it is begun again: the journal knows which rows are done, the
ledger which CT are here, and an image that comes twice is one image.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from service.backlog.pull_orders import PullOrder
from service.backlog.records import SeriesState
from service.backlog.spool import hashed
from service.log import EventLog
from service.retrieval.choices import RowResult
from service.retrieval.found import Taken
from service.retrieval.relay import Relay
from service.retrieval.room import Room
from service.retrieval.troubles import PullFailed, PullStopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from service.backlog.ledger import Ledger
    from service.backlog.pull_orders import PullOrders
    from service.backlog.spool import Spool
    from service.config.reader import LoadedSite
    from service.delivery.association import Peer
    from service.retrieval.choices import Choices, Show
    from service.retrieval.found import FoundSeries
    from service.retrieval.journal import Journal
    from service.retrieval.source import Source
    from service.retrieval.wanted import Wanted

_Result = TypeVar("_Result")
_LONGEST_WAIT_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 0.2
_RECORD_SECONDS: Final = 60.0
_NOT_FOUND: Final = "The archive has no CT that matches."
_log = EventLog("pull")


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What a run uses of the node.

    Attributes:
        loaded: its configuration.
        ledger, spool, orders: of the node.
        receiver: gives its Storage SCP, to be called in the archive's name.
        classes: SOP classes that it takes.
    """

    loaded: LoadedSite
    ledger: Ledger
    spool: Spool
    orders: PullOrders
    receiver: Callable[[], Peer]
    classes: tuple[str, ...]


class Run:
    """Pulls rows.

    Args:
        node: what it uses of the node.
        source: the archive.
        choices: how it is done.
        show: is told how it goes on.
        sleep: waits so many seconds.

    ``current`` is the row that it is or was at.
    """

    def __init__(
        self,
        node: NodeParts,
        source: Source,
        choices: Choices,
        show: Show,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._node = node
        self._ledger = node.ledger
        self._archive = node.loaded.site.archives[choices.archive]
        self._source = source
        self._choices = choices
        self._show = show
        self._sleep = sleep
        self.current: RowResult | None = None
        self.room = Room(node.loaded.site.node, node.ledger, node.spool, choices, show, sleep)

    def pull(self, rows: Iterable[Wanted], journal: Journal | None = None) -> Iterable[RowResult]:
        """Pull row after row; what came of each.

        Raises:
            PullStopped: nothing more can be pulled just now.
        """
        for wanted in rows:
            done = journal.done.get(wanted.row) if journal is not None else None
            if done is not None:
                result = RowResult(wanted.row, list(done), here=len(done), earlier=True)
            else:
                result = self._row(wanted)
                if journal is not None and result.code is None:
                    journal.finish(wanted.row, tuple(result.series))
            self._show.row(result)
            yield result

    def find(self, wanted: Wanted) -> tuple[list[FoundSeries], list[FoundSeries]]:
        """What a row would take: the CT that would be pulled, and those that are here.

        Raises:
            PullFailed: the archive does not answer, or has none.
            PullStopped: it is away.
        """
        self.room.pause()
        found = self._tried(lambda: self._source.find(wanted))
        if not found:
            raise PullFailed("pull.not-found", _NOT_FOUND)
        known = [each for each in found if self._known(each) is not None]
        return [each for each in found if each not in known], known

    def _row(self, wanted: Wanted) -> RowResult:
        result = self.current = RowResult(wanted.row)
        try:
            missing, known = self.find(wanted)
        except PullFailed as trouble:
            return self._failed(result, trouble)
        result.here = len(known)
        result.series += [number for each in known if (number := self._known(each)) is not None]
        for series in missing:
            try:
                result.series.append(self._pull(series, result))
                result.pulled += 1
            except PullFailed as trouble:
                self._failed(result, trouble)
        return result

    def _failed(self, result: RowResult, trouble: PullFailed) -> RowResult:
        _log.warning(trouble.code, count=result.row)
        if result.code is None:
            result.code, result.sentence = trouble.code, trouble.sentence
        return result

    def _known(self, series: FoundSeries) -> int | None:
        """The ledger's number of a CT that is here whole and needs nothing more of the archive."""
        uid = series.series_instance_uid
        known = self._ledger.find_series(uid)
        if known is None or known.state is SeriesState.COLLECTING or known.instances < series.instances:
            return None
        if known.state is SeriesState.REFUSED:
            return known.id
        if self._choices.protocol is None:
            return None if known.state is SeriesState.UNROUTED else known.id
        return None if self._ledger.latest_job(uid, self._choices.protocol) is None else known.id

    def _pull(self, series: FoundSeries, result: RowResult) -> int:
        self.room.wait(series.instances)
        choices = self._choices
        order = PullOrder(
            archive=choices.archive,
            ae_title=self._archive.arrives_as,
            instances=series.instances,
            who=choices.who,
            priority=choices.priority,
            protocol=choices.protocol,
            destinations=choices.destinations,
            study=hashed(series.study_instance_uid),
        )
        self._node.orders.place(series.series_instance_uid, order)
        self._tried(lambda: self._attempt(series, result))
        return self._recorded(series)

    def _attempt(self, series: FoundSeries, result: RowResult) -> None:
        """Retrieve once. What counts is what the node has then, not what the archive says of it."""
        taken, failure = Taken(), None
        try:
            with Relay(self._node.receiver, self._node.classes, self._show.image) as relay:
                self._source.retrieve(series, relay, taken)
        except PullFailed as trouble:
            failure = trouble
        came = taken.stored & series.images if series.images else taken.stored
        result.images += len(came)
        if series.instances and len(came) >= series.instances:
            return
        all_came = len(came) + taken.refused.total() >= series.instances
        if failure is not None and not (all_came and taken.refused):
            raise failure
        if taken.refused and all_came:
            code, count = taken.refused.most_common(1)[0]
            raise PullFailed(code, f"{count} of {series.instances} images were refused by the node ({code}).")
        if len(came) < max(series.instances, 1):
            sentence = f"The archive promised {series.instances} images of a CT and sent {len(came)} of them."
            raise PullFailed("archive.fewer-than-promised", sentence, retry=True)

    def _recorded(self, series: FoundSeries) -> int:
        """Wait until the node has written down what came; its number in the ledger."""
        node = self._node.loaded.site.node
        seconds = _RECORD_SECONDS + (
            2 * node.quiet_seconds if series.instances else node.hard_timeout_seconds
        )
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            number = self._known(series) or self._unrouted(series)
            if number is not None:
                return number
            self._sleep(_LOOK_SECONDS)
        sentence = "All images are here, and the node has not written them down yet. Look at its log."
        raise PullFailed("pull.not-recorded", sentence)

    def _unrouted(self, series: FoundSeries) -> int | None:
        known = self._ledger.find_series(series.series_instance_uid)
        done = (SeriesState.UNROUTED, SeriesState.IGNORED)
        return known.id if known is not None and known.state in done else None

    def _tried(self, action: Callable[[], _Result]) -> _Result:
        """Do it, again after a while where that may help; stop everything if the other side is away."""
        wait = self._archive.retry_seconds
        for attempt in range(1, self._archive.tries + 1):
            try:
                found = action()
            except PullFailed as trouble:
                if not trouble.retry or attempt == self._archive.tries:
                    if trouble.away:
                        raise PullStopped(trouble.code, trouble.sentence) from None
                    raise
                _log.warning("pull.tried", code=trouble.code, attempt=attempt, seconds=wait)
                self._show.says(f"{trouble.sentence} Trying again in {wait:.0f} s.")
                self._sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            else:
                self._show.says("")
                return found
        raise AssertionError  # tries is 1 or more
