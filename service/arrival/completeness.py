"""When a series is complete.

Never while an association that delivered to it is open, and never because one broke off. At once when the
sender, asked after the last arrival, has exactly as many instances, or the archive that it was pulled from:
nothing more will come from there, so that what is wrong with it is said at once too. Else after a silence of
the floor for its sender, or of ten times the longest gap between two of its instances if that is more.

A series with a hole, too few slices or fewer instances than its sender counts, or whose sender broke off,
waits for the rest. At the hard timeout it is refused. If it was not the sender that broke off but the node
that stopped, every image that was acknowledged is here, and only a person can say whether these are all: the
series then goes on with that doubt, and its jobs are held.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from service.arrival.gathering import Gathering, Rules
from service.arrival.spooled_series import AssociationEnd, mark_end
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from service.backlog.records import ReceivedInstance, ReceivedSeries

LONGEST_ANSWER_SECONDS: Final = 30.0
"""A sender that has not said by then how many instances there are is not waited for any longer."""

_log = EventLog("arrival")


@dataclass(frozen=True, slots=True, repr=False)
class History:
    """What is known of a series that was not being watched.

    Attributes:
        instances: that lie in the spool.
        complete_before: how many were recorded when it was last found complete, 0 if it never was.
    """

    instances: Sequence[ReceivedInstance] = ()
    complete_before: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """How many instances has this series? To be put to its sender; ``changes`` goes with the answer."""

    series_instance_uid: str
    study_instance_uid: str
    calling_ae_title: str
    sender_address: str
    changes: int


class Tracker:
    """All series that arrive. Its methods may be called from any thread.

    Args:
        rules: what the configuration says, by calling AE title.
        history: looks up a series that is not being watched.
        folder: where a series lies, by its UID.
    """

    def __init__(
        self, rules: Callable[[str], Rules], history: Callable[[str], History], folder: Callable[[str], Path]
    ) -> None:
        self._rules = rules
        self._history = history
        self._folder = folder
        self._lock = threading.RLock()
        self._watched: dict[str, Gathering] = {}
        self._handed_out: dict[str, Gathering] = {}
        self._lapsed: list[ReceivedSeries] = []
        self._late: set[str] = set()

    def arrived(self, association: int, instance: ReceivedInstance, *, new: bool) -> None:
        """An instance lies in the spool; it was there before if not ``new``."""
        uid = instance.series_instance_uid
        history: History | None = None
        while not self._add(association, instance, new, history):
            history = self._history(uid)  # reads files: nobody else should wait for it

    def ended(self, association: int, *, released: bool, at: float) -> None:
        """An association is over; ``at`` in seconds since the epoch."""
        marks = []
        with self._lock:
            for uid, gathering in self._watched.items():
                if association in gathering.open:
                    gathering.close(association, released=released, at=at)
                    good = released and gathering.broken_at is None
                    marks.append((uid, AssociationEnd(good, len(gathering.instances))))
        for uid, end in marks:
            mark_end(self._folder(uid), end)

    def take_up(self, history: History, *, ended_well: bool | None, now: float) -> None:
        """Watch a series again after a restart; silence begins anew, as nobody listened before.

        ``ended_well`` is None if the node stopped before the last association ended.
        """
        with self._lock:
            gathering = Gathering(
                history.instances,
                complete_before=history.complete_before,
                broken_at=None if ended_well else now,
                interrupted=ended_well is None,
                silent_from=now,
                now=now,
            )
            uid = gathering.latest.series_instance_uid
            self._watched[uid] = gathering
            if 0 < history.complete_before < len(gathering.instances):
                self._late.add(uid)

    def watches(self, series_instance_uid: str) -> bool:
        """Whether a series is being watched, or handed out and not settled yet."""
        with self._lock:
            return series_instance_uid in self._watched or series_instance_uid in self._handed_out

    def tick(self, now: float) -> list[ReceivedSeries]:
        """The series that are complete, or that waited in vain and carry a refusal.

        Each is handed out once; :meth:`settled` or :meth:`put_back` must follow.
        """
        ready = []
        with self._lock:
            for uid, gathering in list(self._watched.items()):
                awaited = gathering.asking and now - gathering.asked_at < LONGEST_ANSWER_SECONDS
                if gathering.open or awaited or now < gathering.not_before:
                    continue
                series = self._verdict(uid, gathering, now)
                if series is not None:
                    ready.append(series)
                    self._handed_out[uid] = self._watched.pop(uid)
        return ready

    def settled(self, series_instance_uid: str) -> None:
        """What was handed out is recorded; it need not be watched any more."""
        with self._lock:
            self._handed_out.pop(series_instance_uid, None)

    def put_back(self, series_instance_uid: str, until: float) -> None:
        """What was handed out could not be recorded; it will be handed out again, not before ``until``."""
        with self._lock:
            gathering = self._handed_out.pop(series_instance_uid)
            newer = self._watched.get(series_instance_uid)
            if newer is None:
                gathering.not_before = until
                self._watched[series_instance_uid] = gathering
            else:
                newer.complete_before = gathering.complete_before

    def lapsed(self) -> list[ReceivedSeries]:
        """Series whose silence passed although something is missing, each once; refusal or doubt says so."""
        with self._lock:
            lapsed, self._lapsed = self._lapsed, []
            return lapsed

    def still_late(self, uids: Collection[str]) -> None:
        """What :meth:`late` said could not be acted upon; it will say so again."""
        with self._lock:
            self._late |= set(uids)

    def late(self) -> set[str]:
        """UIDs of complete series to which slices were added since this was last asked."""
        with self._lock:
            late, self._late = self._late, set()
            return late

    def quiet_in(self, now: float) -> float:
        """Seconds until the next series that waits for silence has it; infinite if there is none."""
        with self._lock:
            waits = [
                gathering.quiet_in(self._rules(gathering.latest.calling_ae_title), now)
                for gathering in self._watched.values()
                if not gathering.open
            ]
        return min((wait for wait in waits if wait > 0), default=math.inf)

    def unread(self, now: float) -> list[ReceivedSeries]:
        """Series that have been silent for half as long as they must, each once after a change."""
        found = []
        with self._lock:
            for uid, gathering in self._watched.items():
                rules = self._rules(gathering.latest.calling_ae_title)
                half = gathering.quiet_in(rules, now) < gathering.quiet_seconds(rules) / 2
                if half and not gathering.open and gathering.read_changes != gathering.changes:
                    gathering.read_changes = gathering.changes
                    found.append(gathering.received(self._folder(uid)))
        return found

    def questions(self, now: float) -> list[Question]:
        """What the senders should be asked now; :meth:`answer` should follow, come what may."""
        asked = []
        with self._lock:
            for uid, gathering in self._watched.items():
                if self._is_due(gathering, now):
                    gathering.asking, gathering.asked_at = True, now
                    latest = gathering.latest
                    asked.append(
                        Question(
                            uid,
                            latest.study_instance_uid,
                            latest.calling_ae_title,
                            latest.sender_address,
                            gathering.changes,
                        )
                    )
        return asked

    def answer(self, question: Question, count: int | None, *, final: bool = False) -> None:
        """The sender has ``count`` instances of the series; None if it does not say.

        ``final`` says that nothing beyond them will come.
        """
        with self._lock:
            gathering = self._watched.get(question.series_instance_uid)
            if gathering is not None:
                gathering.asking = False
                gathering.expected = count
                gathering.count_is_final = final
                gathering.answered_changes = question.changes

    def _add(self, association: int, instance: ReceivedInstance, new: bool, history: History | None) -> bool:
        """False if the series is not known and its history must be looked up first."""
        uid = instance.series_instance_uid
        with self._lock:
            gathering, handed_out = self._watched.get(uid), self._handed_out.get(uid)
            if gathering is None and handed_out is not None:
                known = handed_out.instances
                gathering = Gathering(known.values(), complete_before=len(known))
            elif gathering is None and history is not None:
                at = instance.received_at
                gathering = Gathering(history.instances, complete_before=history.complete_before, now=at)
            if gathering is None:
                return False
            self._watched[uid] = gathering
            gathering.add(association, instance, new=new)
            if gathering.slices_came_late:
                gathering.slices_came_late = False
                self._late.add(uid)
        return True

    def _verdict(self, uid: str, gathering: Gathering, now: float) -> ReceivedSeries | None:
        rules = self._rules(gathering.latest.calling_ae_title)
        quiet = gathering.is_quiet(rules, now)
        folder = self._folder(uid)
        if gathering.is_repeat:
            return self._came_again(uid, gathering, folder) if quiet else None
        if gathering.count_is_reached:
            defect = gathering.defect_of_slices(rules)
            if defect is None or gathering.count_is_final:
                return gathering.received(folder, defect=defect)
        if not quiet:
            return None
        defect = gathering.defect(rules)
        if defect is None:
            return gathering.received(folder)
        if gathering.waited_in_vain(rules, now):
            return gathering.received(folder, defect=defect)
        if not gathering.announced:
            gathering.announced = True
            self._lapsed.append(gathering.received(folder, defect=defect))
        return None

    def _came_again(self, uid: str, gathering: Gathering, folder: Path) -> ReceivedSeries | None:
        if gathering.came_again_whole:
            return gathering.received(folder, sent_again=True)
        del self._watched[uid]  # a part of what is known anyway says nothing new
        _log.info("arrival.part-came-again", ae_title=gathering.latest.calling_ae_title)
        return None

    def _is_due(self, gathering: Gathering, now: float) -> bool:
        """Ask once an association has ended; again only when the answer could have changed the outcome."""
        rules = self._rules(gathering.latest.calling_ae_title)
        if not rules.ask or gathering.open or gathering.asking or gathering.is_repeat:
            return False
        if gathering.answered_changes < 0:
            return True
        if gathering.expected is None or gathering.answered_changes == gathering.changes:
            return False
        silent = gathering.is_quiet(rules, now)
        return silent or len(gathering.instances) >= gathering.expected
