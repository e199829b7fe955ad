"""C-STORE and C-ECHO as a user of the service: what other nodes take from us.

A file is sent as it lies on disk, not decoded. It is proposed in its own transfer syntax and, if that is an
uncompressed one, in the other of Implicit and Explicit VR Little Endian as a presentation context of its own;
only a peer that takes nothing but the other one makes us convert.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from service import failpoints
from service.delivery import outcome
from service.delivery.answers import answers_kept
from service.delivery.association import Peer, Watch, associate
from service.delivery.outcome import Outcome
from service.dicom.library_errors import LIBRARY_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event
    from pynetdicom.presentation import PresentationContext

__all__ = ["Peer", "echo", "send", "send_all"]

_NATIVE: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_MEDIUM: Final = 0
_BROKEN: Final = (outcome.ABORTED, outcome.NO_RESPONSE, outcome.FILE_UNREADABLE)  # the association is gone
_CONTEXTS_AT_ONCE: Final = 126  # PS3.8 9.3.2.2: identifiers are odd and below 256


@dataclass(frozen=True, slots=True)
class _Instance:
    file: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def syntaxes(self) -> tuple[str, ...]:
        """Own transfer syntax first, then what we can convert it to."""
        own = self.transfer_syntax_uid
        return (own, *(other for other in _NATIVE if other != own)) if own in _NATIVE else (own,)


def send(file: Path, peer: Peer, *, sop_instance_uid: str | None = None) -> Outcome:
    """Store one file at ``peer`` with one association, if it is the instance of that UID.

    Never raises for what file or peer do.
    """
    if sop_instance_uid is not None:
        read = _read(file)
        if isinstance(read, Outcome):
            return read
        if read.sop_instance_uid != sop_instance_uid:
            return outcome.OTHER_INSTANCE
    return next(send_all((file,), peer))[1]


def send_all(files: Sequence[Path], peer: Peer) -> Iterator[tuple[Path, Outcome]]:
    """Store files at ``peer`` by as few associations as the contexts allow; after a broken one a new one.

    Yields:
        Each file once with its outcome, unreadable ones first. Ends early, after the outcome of the file
        that failed, if no association can be had.
    """
    waiting: list[_Instance] = []
    for file in files:
        read = _read(file)
        if isinstance(read, Outcome):
            yield file, read
        else:
            waiting.append(read)
    while waiting:
        batch, contexts = _batch(waiting)
        watch = Watch(peer.timeout_seconds)
        association = associate(peer, contexts, watch)
        if isinstance(association, Outcome):
            yield batch[0].file, association
            return
        try:
            with answers_kept(association):
                for instance in batch:
                    found = _store(instance, association, watch)
                    yield instance.file, found
                    waiting.remove(instance)
                    if found in _BROKEN:
                        break
        finally:
            end(association)
            watch.close()


def echo(peer: Peer) -> Outcome:
    """Verify ``peer`` by C-ECHO (PS3.4 Annex A)."""
    watch = Watch(peer.timeout_seconds)
    association = associate(peer, [build_context(Verification)], watch)
    if isinstance(association, Outcome):
        return association
    try:
        watch.expect(0)
        return _judged(association.send_c_echo(), watch)
    except RuntimeError:
        return outcome.ABORTED
    finally:
        end(association)
        watch.close()


def _read(file: Path) -> _Instance | Outcome:
    try:
        meta = read_file_meta_info(file)
        return _Instance(
            file,
            str(meta.MediaStorageSOPClassUID),
            str(meta.MediaStorageSOPInstanceUID),
            str(meta.TransferSyntaxUID),
        )
    except FileNotFoundError:
        return outcome.FILE_MISSING
    except OSError:
        return outcome.FILE_UNREADABLE
    except LIBRARY_ERRORS:
        return outcome.NOT_DICOM


def _batch(waiting: Sequence[_Instance]) -> tuple[list[_Instance], list[PresentationContext]]:
    contexts: dict[tuple[str, str], PresentationContext] = {}
    batch: list[_Instance] = []
    for instance in waiting:
        wanted = [(instance.sop_class_uid, syntax) for syntax in instance.syntaxes]
        if len(contexts.keys() | set(wanted)) > _CONTEXTS_AT_ONCE:
            continue
        for pair in wanted:
            contexts.setdefault(pair, build_context(*pair))
        batch.append(instance)
    return batch, list(contexts.values())


def _store(instance: _Instance, association: Association, watch: Watch) -> Outcome:
    accepted = {
        (str(context.abstract_syntax), str(context.transfer_syntax[0]))
        for context in association.accepted_contexts
    }
    found = [syntax for syntax in instance.syntaxes if (instance.sop_class_uid, syntax) in accepted]
    if not found:
        return outcome.NO_CONTEXT
    as_it_is = found[0] == instance.transfer_syntax_uid
    size = instance.file.stat().st_size
    watch.expect(size)
    _reach_when_half_is_sent(association, size)
    try:
        answer = association.send_c_store(
            instance.file if as_it_is else dcmread(instance.file), priority=_MEDIUM
        )
    except RuntimeError:  # pynetdicom: the association is no longer established
        return outcome.ABORTED
    except OSError:
        association.abort()
        return outcome.FILE_UNREADABLE
    return _judged(answer, watch)


def _judged(answer: Dataset, watch: Watch) -> Outcome:
    if "Status" in answer:
        offending = answer.get("OffendingElement") or ()
        tags = [offending] if isinstance(offending, int) else list(offending)
        return outcome.of_status(answer.Status, [keyword_for_tag(tag) or "private" for tag in tags])
    return outcome.NO_RESPONSE if watch.expired else outcome.ABORTED


def end(association: Association) -> None:
    """Release it, or abort it if that does not work."""
    if association.is_established:
        association.release()
    if not association.is_released:
        association.abort()


def _reach_when_half_is_sent(association: Association, size: int) -> None:
    if "DELINEATE_FAILPOINTS" not in os.environ:
        return
    sent = 0

    def count(event: Event) -> None:
        nonlocal sent
        before, sent = sent, sent + len(event.data)
        if before < size // 2 <= sent:
            failpoints.reach("deliver.sending")

    association.bind(evt.EVT_DATA_SENT, count)
