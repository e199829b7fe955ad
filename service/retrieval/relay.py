"""Hands what an archive sends to the node's own Storage SCP, as if the archive had sent it there.

So it goes through the one intake there is: the same checks, on disk before it is acknowledged, in the same
ledger. The archive hears of each image what the node has said of it, and no file lies anywhere else.
"""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from typing import TYPE_CHECKING, Final, Self

from pynetdicom import build_context
from pynetdicom.dimse_primitives import C_STORE

from service.arrival.instance import StoreStatus
from service.delivery.answers import answers_kept
from service.delivery.association import Watch, associate
from service.delivery.outcome import Outcome
from service.delivery.storage_scu import end
from service.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from service.retrieval.troubles import PullFailed, PullStopped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import TracebackType

    from pynetdicom.association import Association

    from service.delivery.association import Peer
    from service.retrieval.found import Taken

_MEDIUM: Final = 0
_LAST_MESSAGE_ID: Final = 65535
_REJECTED: Final = "delivery.association-rejected"
_NO_ROOM: Final = "spool."
"""How the remark begins with which the node says that nothing more is taken for now."""


class NodeAway(PullFailed):
    """The node's Storage SCP does not answer just now."""

    def __init__(self) -> None:
        sentence = "The node's own Storage SCP does not answer. Is `delineate serve` running on this machine?"
        super().__init__("pull.node-away", sentence, retry=True, away=True)


class Relay:
    """An association with the node for the time of one series; made when the first image comes.

    Args:
        peer: gives the node's Storage SCP, to be called with the archive's title, or raises why not.
        classes: SOP classes that are handed on.
        heard: is told of each image that the node has acknowledged.
    """

    def __init__(
        self, peer: Callable[[], Peer], classes: Collection[str], heard: Callable[[], None] | None = None
    ) -> None:
        self._peer = peer
        self.classes = tuple(classes)
        self._heard = heard or (lambda: None)
        self._open = ExitStack()
        self._number = 0
        self._opened: tuple[Association, Watch] | None = None
        self._contexts: dict[tuple[str, str], int] = {}
        self.stopped: PullFailed | PullStopped | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def store(self, sop_class: str, sop_instance: str, syntax: str, data: BytesIO, taken: Taken) -> int:
        """Hand one data set on; what the node answers, to be told to the archive.

        Once the node has stopped taking anything, :attr:`stopped` says why and all further ones are refused.
        """
        if self.stopped is not None:
            return StoreStatus.OUT_OF_RESOURCES
        if syntax not in TRANSFER_SYNTAXES or sop_class not in self.classes:
            taken.refused[
                "archive.not-a-ct" if syntax in TRANSFER_SYNTAXES else "archive.transfer-syntax"
            ] += 1
            return StoreStatus.SOP_CLASS_NOT_SUPPORTED
        try:
            status, remark = self._send(sop_class, sop_instance, syntax, data)
        except (PullFailed, PullStopped) as trouble:
            self.stopped = trouble
            return StoreStatus.OUT_OF_RESOURCES
        if status == StoreStatus.SUCCESS:
            taken.stored.add(sop_instance)
            self._heard()
            return status
        if remark.startswith(_NO_ROOM):
            sentence = (
                "The node takes no more images: its disk is as full as `node.disk` allows. Free space there."
            )
            self.stopped = PullStopped(remark, sentence)
        code = "instance.conflict" if status == StoreStatus.DUPLICATE_SOP_INSTANCE else remark
        taken.refused[code or "instance.refused"] += 1
        return status

    def _send(self, sop_class: str, sop_instance: str, syntax: str, data: BytesIO) -> tuple[int, str]:
        association, watch = self._associate() if self._opened is None else self._opened
        request = C_STORE()
        self._number = self._number % _LAST_MESSAGE_ID + 1
        request.MessageID = self._number
        request.AffectedSOPClassUID = sop_class
        request.AffectedSOPInstanceUID = sop_instance
        request.Priority = _MEDIUM
        request.DataSet = data
        watch.expect(data.getbuffer().nbytes)
        context = self._contexts.get((sop_class, syntax))
        if context is None:
            return StoreStatus.SOP_CLASS_NOT_SUPPORTED, "instance.no-context"
        association.dimse.send_msg(request, context)
        _, answer = association.dimse.get_msg(block=True)
        if not isinstance(answer, C_STORE) or answer.Status is None:
            raise NodeAway
        remark: str | None = getattr(answer, "ErrorComment", None)
        return int(answer.Status), (remark or "").strip()

    def _associate(self) -> tuple[Association, Watch]:
        peer = self._peer()
        pairs = [(sop_class, syntax) for sop_class in self.classes for syntax in TRANSFER_SYNTAXES]
        watch = Watch(peer.timeout_seconds)
        association = associate(peer, [build_context(*pair) for pair in pairs], watch)
        if isinstance(association, Outcome):
            if association.code == _REJECTED:
                sentence = (
                    "The node lets nobody hand images on in the archive's name. Does it run with this "
                    "configuration, on this machine?"
                )
                raise PullStopped("pull.not-let-in", sentence)
            raise NodeAway
        self._open.callback(watch.close)
        self._open.callback(end, association)
        self._open.enter_context(answers_kept(association))
        self._contexts = {
            (str(each.abstract_syntax), str(each.transfer_syntax[0])): int(each.context_id or 0)
            for each in association.accepted_contexts
        }
        self._opened = association, watch
        return self._opened
