"""What becomes of each data set of one association: refused, thrown away, or stored and then acknowledged."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, RTStructureSetStorage

from service import failpoints
from service.arrival.instance import StoreStatus, check_header
from service.arrival.messages import Answer
from service.arrival.spooled_series import file_header
from service.backlog.refusals import Refusals
from service.dicom.transfer_syntaxes import discarded_classes
from service.errors import InstanceRefused, SpoolUnavailable
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.arrival.instance import Claim, Header, Origin
    from service.backlog.pull_orders import PullOrder, PullOrders
    from service.backlog.records import ReceivedInstance
    from service.backlog.spool import Spool, Stored

_MIB: Final = 1 << 20
LONGEST_BYTES: Final = {
    str(CTImageStorage): 64 * _MIB,  # 4096 x 4096 pixels, the most that is contoured, take half of it
    str(EnhancedCTImageStorage): 4096 * _MIB,
    str(RTStructureSetStorage): 1024 * _MIB,
}
"""Data sets beyond these are refused, so that one sender cannot fill the memory."""

_log = EventLog("arrival")


class Arrivals(Protocol):
    """Who wants to know what arrives."""

    def arrived(self, association: int, instance: ReceivedInstance, *, new: bool) -> None:
        """An instance lies in the spool; it was there before if not ``new``."""

    def conflicting(self, association: int, instance: ReceivedInstance) -> None:
        """An instance differs from the one that is known by its UID, and was set aside."""

    def ended(self, association: int, *, released: bool, at: float) -> None:
        """The association is over."""


class Intake:
    """The C-STORE service of one association.

    Args:
        association: its number.
        origin: who sends.
        spool: where instances are kept.
        arrivals: who is told.
        discard: SOP classes, by name, keyword or UID, that are answered and thrown away.
        reserve_bytes: free space under which nothing more is taken.
        clock: seconds since the epoch.
        authorised: the caller may store, and not only ask whether we are there.
        refusals: where what is refused is counted.
        ordered: only series may be stored that are ordered here; None for all.
    """

    def __init__(  # noqa: PLR0913 - one argument each for what it works with
        self,
        association: int,
        origin: Origin,
        spool: Spool,
        arrivals: Arrivals,
        *,
        discard: Sequence[str],
        reserve_bytes: int,
        clock: Callable[[], float],
        authorised: bool = True,
        refusals: Refusals | None = None,
        ordered: PullOrders | None = None,
    ) -> None:
        self._refusals = refusals if refusals is not None else Refusals()
        self._ordered = ordered
        self._known_orders: dict[str, PullOrder | None] = {}
        self._authorised = authorised
        self.association = association
        self._origin = origin
        self._spool = spool
        self._arrivals = arrivals
        self._discard = discarded_classes(discard) - {CTImageStorage, RTStructureSetStorage}
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._begun = time.monotonic()
        self.stored = self._bytes = 0
        self.discarded: Counter[str] = Counter()

    def longest(self, sop_class_uid: str) -> int:
        """See :class:`service.arrival.dimse.Store`."""
        if not self._authorised:
            return 0
        return 0 if sop_class_uid in self._discard else LONGEST_BYTES.get(sop_class_uid, 0)

    def store(self, claim: Claim, parts: Sequence[memoryview], length: int) -> Answer:
        """See :class:`service.arrival.dimse.Store`."""
        self._bytes += length
        if not self._authorised:
            self._count("instance.not-authorised")
            return Answer(StoreStatus.NOT_AUTHORISED)
        if claim.sop_class_uid in self._discard:
            self.discarded[claim.sop_class_uid] += 1
            return Answer(StoreStatus.SUCCESS)
        try:
            answer = self._keep(claim, parts, length)
        except InstanceRefused as refusal:
            self._count(refusal.code)
            _log.warning(refusal.code, ae_title=self._origin.calling_ae_title, status=f"{refusal.status:04X}")
            return Answer(refusal.status, refusal.code)
        except SpoolUnavailable as trouble:
            return self._out_of_resources(trouble)
        self.stored += answer.status == StoreStatus.SUCCESS
        return answer

    def unlike_its_context(self, length: int) -> Answer:
        """See :class:`service.arrival.dimse.Store`."""
        self._bytes += length
        self._count("instance.sop-class-differs")
        comment = "SOP class differs from the presentation context"
        return Answer(StoreStatus.SOP_CLASS_NOT_SUPPORTED, comment)

    def not_kept(self, trouble: SpoolUnavailable, length: int) -> Answer:
        """See :class:`service.arrival.dimse.Store`."""
        self._bytes += length
        return self._out_of_resources(trouble)

    def _out_of_resources(self, trouble: SpoolUnavailable) -> Answer:
        self._count(trouble.code)
        _log.error(trouble.code, free_bytes=self._spool.free_bytes())
        return Answer(StoreStatus.OUT_OF_RESOURCES, trouble.code)

    def end(self, *, released: bool) -> None:
        """The association is over."""
        self._spool.settle()
        self._arrivals.ended(self.association, released=released, at=self._clock())
        _log.info(
            "association.released" if released else "association.broken-off",
            ae_title=self._origin.calling_ae_title,
            address=self._origin.address,
            instances=self.stored,
            bytes=self._bytes,
            ms=int((time.monotonic() - self._begun) * 1000),
        )
        for sop_class, count in self.discarded.items():
            _log.info("arrival.discarded", sop_class=sop_class, count=count)

    def _keep(self, claim: Claim, parts: Sequence[memoryview], length: int) -> Answer:
        if length > self.longest(claim.sop_class_uid):
            sentence = "The data set is larger than any that is taken. Send it in smaller instances."
            raise InstanceRefused("instance.too-large", sentence, status=StoreStatus.OUT_OF_RESOURCES)
        if self._spool.free_bytes() - length < self._reserve_bytes:
            raise SpoolUnavailable(
                "spool.space-low", "Free space in the storage folder is below disk.reserve_gb."
            )
        if self._spool.over_budget.exists():
            raise SpoolUnavailable("spool.over-budget", "The storage folder is larger than disk.budget_gb.")
        header = check_header(parts, claim)
        if self._ordered is not None:
            self._must_be_ordered(header, self._ordered)
        failpoints.reach("arrival.receiving")
        pieces: list[bytes | bytearray | memoryview] = [file_header(claim, self._origin), *parts]
        if claim.sop_class_uid == RTStructureSetStorage:
            stored = self._spool.store_structure_set(header.sop_instance_uid, pieces)
        else:
            stored = self._spool.store(header.series_instance_uid, header.sop_instance_uid, pieces)
            self._tell(header, claim, stored)
        if stored.outcome == "conflict":
            self._count("instance.conflict")
            _log.error("instance.conflict", ae_title=self._origin.calling_ae_title, status="0111")
            return Answer(StoreStatus.DUPLICATE_SOP_INSTANCE, "another data set with this UID is stored here")
        return Answer(StoreStatus.SUCCESS)

    def _count(self, reason: str) -> None:
        title = self._origin.calling_ae_title
        sender = title if self._authorised else ""
        self._refusals.add("instance", reason, address=self._origin.address, title=title, sender=sender)

    def _must_be_ordered(self, header: Header, orders: PullOrders) -> None:
        known, uid = self._known_orders, header.series_instance_uid
        if uid not in known:
            known[uid] = orders.find(uid, self._origin.calling_ae_title)
        order = known[uid]
        if order is None or not order.is_of(header.study_instance_uid):
            sentence = "The archive sent a series that was not asked for. Have the archive repaired."
            raise InstanceRefused("instance.not-ordered", sentence, status=StoreStatus.NOT_AUTHORISED)

    def _tell(self, header: Header, claim: Claim, stored: Stored) -> None:
        instance = header.as_received(claim.transfer_syntax_uid, self._origin, self._clock(), stored.file)
        if stored.outcome == "conflict":
            self._arrivals.conflicting(self.association, instance)
        else:
            self._arrivals.arrived(self.association, instance, new=stored.outcome == "new")
