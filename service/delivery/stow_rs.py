"""STOW-RS (PS3.18 10.5): one instance, as it lies on disk, posted to a DICOMweb service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

from service.delivery import outcome
from service.delivery.dicomweb import NoExchange, Service, exchange
from service.delivery.on_disk import fault_of
from service.delivery.outcome import Outcome
from service.delivery.stow_outcome import of_response

__all__ = ["Service", "store"]

_PART: Final = 256 * 1024
_LARGEST_ANSWER: Final = 1_000_000


def store(file: Path, service: Service, *, sop_instance_uid: str) -> Outcome:
    """Post one instance; done only where the answer names it among those stored.

    Never raises for what the service does.
    """
    fault = fault_of(file, sop_instance_uid)
    if fault is not None:
        return fault
    try:
        return _post(file, service, sop_instance_uid)
    except NoExchange as trouble:
        return trouble.outcome
    except OSError:
        return outcome.FILE_UNREADABLE


def _post(file: Path, service: Service, sop_instance_uid: str) -> Outcome:
    boundary = uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    size = len(head) + file.stat().st_size + len(tail)
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Content-Length": str(size),
        "Accept": "application/dicom+json",
    }
    with exchange(service, "POST", headers, content=_parts(file, head, tail), size=size) as answer:
        return of_response(answer.status, answer.read(_LARGEST_ANSWER), sop_instance_uid)


def _parts(file: Path, head: bytes, tail: bytes) -> Iterator[bytes]:
    yield head
    with file.open("rb") as content:
        while part := content.read(_PART):
            yield part
    yield tail
