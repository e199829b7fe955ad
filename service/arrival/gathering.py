"""One series while it arrives: what is there, how it came, and what is wrong with it so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.uid import CTImageStorage

from service.backlog.records import ReceivedSeries
from service.dicom.slice_geometry import analyse, most_common_orientation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from service.backlog.records import ReceivedInstance
    from service.dicom.slice_geometry import StackGeometry

Defect = tuple[str, str]

GAPS_OF_SILENCE: Final = 10
"""A series may be complete after this many times the longest gap between two of its instances."""

END_UNKNOWN: Final = "series.end-unknown"
"""The node stopped before the sender could end its association: a person says whether anything is missing."""

_MISSING_SLICES: Final = ("series.hole", "series.spacing-irregular")
"""What slices still to come may mend; other faults of geometry are for the stage that contours."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says of a sender's series.

    Attributes:
        quiet_seconds: shortest silence after which the series may be complete.
        hard_timeout_seconds: silence after which one that is not complete is refused.
        minimum_slices: fewer CT slices are too few.
        ask: the sender can be asked how many instances the series has.
    """

    quiet_seconds: float
    hard_timeout_seconds: float
    minimum_slices: int
    ask: bool = False


class Gathering:
    """The state of one series, moved by :class:`service.arrival.completeness.Tracker`.

    Args:
        known: instances that lie in the spool already.
        complete_before: how many instances there were when it was last found complete, 0 if it never was.
        broken_at: when an association that delivered to it broke off without the series being resumed.
        interrupted: it was not the sender that broke off, but the node that stopped.
        silent_from: silence counts from here at the earliest; before, nobody listened.
        now: no instance came later, whatever the clock was when its file was written.
    """

    def __init__(
        self,
        known: Iterable[ReceivedInstance] = (),
        *,
        complete_before: int = 0,
        broken_at: float | None = None,
        interrupted: bool = False,
        silent_from: float = 0.0,
        now: float = math.inf,
    ) -> None:
        self.instances = {instance.sop_instance_uid: instance for instance in known}
        self.complete_before = complete_before
        self.broken_at = broken_at
        self._interrupted = interrupted
        self.not_before = 0.0
        self.open: dict[int, float] = {}
        self.changes = 0
        self.read_changes = 0
        self.asking = False
        self.asked_at = 0.0
        self.expected: int | None = None
        self.count_is_final = False
        self.answered_changes = -1
        self.announced = False
        self.slices_came_late = False
        arrivals = sorted(min(instance.received_at, now) for instance in self.instances.values())
        self.last_at = max(arrivals, default=0.0)
        self._silent_from = silent_from
        self._gap_counts = False
        self._longest_gap = 0.0 if complete_before else max(np.diff(arrivals), default=0.0)
        self._latest = max(self.instances.values(), key=lambda i: i.received_at, default=None)
        self._redelivered: set[str] = set()
        self._run: tuple[int, set[str], float] = (0, set(), 0.0)
        self._judged: tuple[int, _Stack] = (-1, _Stack())

    def add(self, association: int, instance: ReceivedInstance, *, new: bool) -> None:
        """An instance came, perhaps once more."""
        uid, at = instance.sop_instance_uid, instance.received_at
        gap = max(at - self.last_at, 0.0) if self._gap_counts else 0.0
        self._gap_counts = True
        self._longest_gap = max(self._longest_gap, gap)
        run, sent, longest = self._run
        self._run = (run, sent, max(longest, gap)) if run == association else (association, set(), 0.0)
        self._run[1].add(uid)
        self._redelivered.add(uid)
        if new or uid not in self.instances:
            self.instances[uid] = instance
        if new and not instance.is_localizer and 0 < self.complete_before < len(self.instances):
            self.slices_came_late = True
        self._latest = instance
        self.last_at = max(self.last_at, at)
        self.open.setdefault(association, at)
        self.changes += 1
        self.announced = False

    def close(self, association: int, *, released: bool, at: float) -> None:
        """An association that delivered to it ended; a good end mends a break from before it began."""
        began = self.open.pop(association)
        if not released:
            self.broken_at = at
            self._interrupted = False
            self._gap_counts = False  # what comes next is a new attempt, not a slow sender
        elif self.broken_at is not None and began >= self.broken_at:
            self.broken_at = None

    @property
    def is_repeat(self) -> bool:
        """It holds what it held when it was last found complete."""
        return 0 < self.complete_before == len(self.instances)

    @property
    def came_again_whole(self) -> bool:
        """Every instance was delivered since it is being watched, and nothing broke off."""
        return self._redelivered >= self.instances.keys() and self.broken_at is None

    @property
    def latest(self) -> ReceivedInstance:
        """The instance that came last: its association is the one that is answered to."""
        if self._latest is None:
            message = "nothing has arrived yet"
            raise ValueError(message)
        return self._latest

    def quiet_seconds(self, rules: Rules) -> float:
        """How long it must be silent. An association that brought everything makes older gaps irrelevant."""
        _, sent, longest = self._run
        gap = longest if sent >= self.instances.keys() else self._longest_gap
        return float(min(max(rules.quiet_seconds, GAPS_OF_SILENCE * gap), rules.hard_timeout_seconds))

    def quiet_in(self, rules: Rules, now: float) -> float:
        """Seconds until it has been silent for long enough, if nothing comes."""
        return self.quiet_seconds(rules) - self._silence(now)

    def is_quiet(self, rules: Rules, now: float) -> bool:
        """Whether it has been silent for long enough."""
        return self._silence(now) >= self.quiet_seconds(rules)

    def waited_in_vain(self, rules: Rules, now: float) -> bool:
        """Whether the hard timeout has passed in silence."""
        return self._silence(now) >= rules.hard_timeout_seconds

    def _silence(self, now: float) -> float:
        return now - max(self.last_at, self._silent_from)

    @property
    def count_is_reached(self) -> bool:
        """The sender, asked after the last arrival, has exactly as many."""
        return self.answered_changes == self.changes and self.expected == len(self.instances)

    def defect(self, rules: Rules) -> Defect | None:
        """Why it cannot be complete as it is, most telling first; code and sentence."""
        return self.defect_of_slices(rules) or self._short_of_count() or self._broken()

    def defect_of_slices(self, rules: Rules) -> Defect | None:
        """Too few slices, or a hole among them."""
        stack = self._stack()
        only_others = stack.slices == 0 and len(self.instances) > 0
        if stack.slices < rules.minimum_slices and not only_others:
            return (
                "series.too-few-slices",
                f"Only {stack.slices} CT slices have arrived, at least {rules.minimum_slices} are needed. "
                "Send the whole series.",
            )
        refusal = None if stack.geometry is None else stack.geometry.refusal
        return refusal if refusal is not None and refusal[0] in _MISSING_SLICES else None

    def received(
        self, folder: Path, *, defect: Defect | None = None, sent_again: bool = False
    ) -> ReceivedSeries:
        """The series as the next stage gets it: with ``defect`` refused, or in doubt if only its end is."""
        in_doubt = defect is not None and defect[0] == END_UNKNOWN
        instances = tuple(sorted(self.instances.values(), key=lambda instance: instance.received_at))
        geometry = self._stack().geometry
        return ReceivedSeries(
            series_instance_uid=self.latest.series_instance_uid,
            study_instance_uid=instances[0].study_instance_uid,  # whose identity the ledger shows too
            calling_ae_title=self.latest.calling_ae_title,
            called_ae_title=self.latest.called_ae_title,
            sender_address=self.latest.sender_address,
            folder=folder,
            instances=instances,
            first_at=instances[0].received_at,
            last_at=self.last_at,
            sent_again=sent_again,
            added_late=0 < self.complete_before < len(self.instances),
            non_uniform=geometry is not None and geometry.non_uniform,
            refusal=None if in_doubt else defect,
            doubt=defect if in_doubt else None,
        )

    def _stack(self) -> _Stack:
        if self._judged[0] != self.changes:
            self._judged = self.changes, _stack_of(self.instances.values())
        return self._judged[1]

    def _short_of_count(self) -> Defect | None:
        if self.expected is None or self.expected <= len(self.instances):
            return None
        return (
            "series.incomplete",
            f"Only {len(self.instances)} of {self.expected} images of the series have arrived. "
            "Send the whole series again.",
        )

    def _broken(self) -> Defect | None:
        if self.broken_at is None:
            return None
        if self._interrupted:
            return (
                END_UNKNOWN,
                f"The node stopped while the series was arriving; {len(self.instances)} images are here and "
                "its sender has not said that these are all. Count them: release the job if none is missing, "
                "else send the whole series again.",
            )
        return (
            "series.broken-off",
            f"The sender broke off after {len(self.instances)} images, or fell silent with its association "
            "open (node.network_timeout_seconds), so that more may be missing. Send the whole series again.",
        )


@dataclass(frozen=True, slots=True)
class _Stack:
    """How many parallel slices there are, and what their positions say."""

    slices: int = 0
    geometry: StackGeometry | None = None


def _stack_of(instances: Iterable[ReceivedInstance]) -> _Stack:
    slices = [i for i in instances if i.sop_class_uid == CTImageStorage and not i.is_localizer]
    placed = [(i.position_lps_mm, i.orientation) for i in slices if i.position_lps_mm and i.orientation]
    if not placed:
        return _Stack(len(slices))
    positions = np.array([position for position, _ in placed], dtype=np.float64)
    orientations = np.array([orientation for _, orientation in placed], dtype=np.float64)
    if np.ptp(orientations, axis=0).max() > 1e-3:  # a localizer that does not say so must not hide a hole
        most = most_common_orientation(orientations)
        positions, orientations = positions[most], orientations[most]
    return _Stack(len(positions), analyse(positions, orientations))
