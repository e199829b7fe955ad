"""What a STOW-RS response means (PS3.18 10.5.3, Tables 10.5.3-1 and I.2.2-2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from service.delivery.outcome import Kind, Outcome, of_status

_REFERENCED: Final = "00081199"
_FAILED: Final = "00081198"
_INSTANCE: Final = "00081155"
_WARNING_REASON: Final = "00081196"
_FAILURE_REASON: Final = "00081197"
_SPEAK_OF_INSTANCES: Final = (200, 202, 409)

_UNCLEAR: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.stow-unclear",
    "The destination answered without saying that it has stored the instance; look whether it is there.",
    alarm=True,
)
_UNKNOWN_FAILURE: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.unknown-status",
    "The destination did not store it, for a reason that the Standard lacks.",
    alarm=True,
)
_BY_HTTP: Final[dict[int, Outcome]] = {
    400: Outcome(
        Kind.DEAD,
        "delivery.not-understood",
        "Refused: the destination could not understand the request; its own log says why.",
    ),
    401: Outcome(
        Kind.SLOW_RETRY,
        "delivery.stow-not-signed-in",
        "The destination does not know who we are; correct `token`, or `user` and `password`.",
        alarm=True,
    ),
    403: Outcome(
        Kind.SLOW_RETRY,
        "delivery.not-authorized",
        "The destination does not allow us to store; have it allowed there.",
        alarm=True,
    ),
    404: Outcome(
        Kind.SLOW_RETRY,
        "delivery.stow-no-service",
        "There is no STOW-RS service at this address; correct `url` of `dicomweb`.",
        alarm=True,
    ),
    413: Outcome(
        Kind.SLOW_RETRY,
        "delivery.stow-too-large",
        "The destination finds it too large; have its limit raised there.",
        alarm=True,
    ),
    415: Outcome(
        Kind.DEAD,
        "delivery.class-not-supported",
        "The destination does not take this kind of object; have it enabled there, then resend.",
    ),
}
_BY_HTTP_TOO: Final = {405: 404, 410: 404, 407: 401}
_BUSY: Final = Outcome(Kind.RETRY, "delivery.out-of-resources", "The destination is out of resources.")
_REDIRECTED: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.stow-redirected",
    "The destination sent us elsewhere, where we do not follow; correct `url` of `dicomweb`.",
    alarm=True,
)
_UNUSUAL: Final = Outcome(
    Kind.SLOW_RETRY,
    "delivery.stow-unusual-answer",
    "The destination gave an answer that STOW-RS lacks.",
    alarm=True,
)


def of_response(http_status: int, body: bytes, sop_instance_uid: str) -> Outcome:
    """What an answer means for one instance: it is stored only if the answer names it among those stored.

    Args:
        http_status: of the response.
        body: a DICOM JSON document; anything else counts as saying nothing.
        sop_instance_uid: what was sent.
    """
    found = _judged(http_status, body, sop_instance_uid)
    status = found.status or None  # 0000 is an answer to a C-STORE alone
    return replace(found, status=status, sentence=f"{found.sentence} (HTTP {http_status})")


def _judged(http_status: int, body: bytes, sop_instance_uid: str) -> Outcome:
    if http_status in _SPEAK_OF_INSTANCES:
        return _of_instances(body, sop_instance_uid, all_failed=http_status == 409)
    same = _BY_HTTP_TOO.get(http_status, http_status)
    if same in _BY_HTTP:
        return _BY_HTTP[same]
    if http_status in (408, 425, 429) or http_status >= 500:
        return _BUSY
    return _REDIRECTED if 300 <= http_status < 400 else _UNUSUAL


def _of_instances(body: bytes, sop_instance_uid: str, *, all_failed: bool) -> Outcome:
    document = _document(body)
    failures = list(_items(document, _FAILED))
    for item in failures:
        if _first(item, _INSTANCE) == sop_instance_uid or (len(failures) == 1 and all_failed):
            return _failure(_first(item, _FAILURE_REASON))
    if all_failed:
        return _UNKNOWN_FAILURE
    for item in _items(document, _REFERENCED):
        if _first(item, _INSTANCE) == sop_instance_uid:
            warning = _first(item, _WARNING_REASON)
            return of_status(0) if warning is None else _warning(warning)
    return _UNCLEAR


def _failure(reason: object) -> Outcome:
    if not isinstance(reason, int):
        return _UNKNOWN_FAILURE
    found = of_status(reason)
    if found.stored and reason != 0x0111:  # a warning or success where a failure is meant
        return _UNKNOWN_FAILURE
    return found


def _warning(reason: object) -> Outcome:
    found = of_status(reason) if isinstance(reason, int) else _UNCLEAR
    return found if found.stored else _UNCLEAR


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):  # lists within lists without end
        return {}
    if isinstance(found, list) and found:  # some services wrap it
        found = found[0]
    return found if isinstance(found, dict) else {}


def _items(document: dict[str, Any], tag: str) -> Iterator[dict[str, Any]]:
    element = document.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    yield from (each for each in (values if isinstance(values, list) else []) if isinstance(each, dict))


def _first(item: dict[str, Any], tag: str) -> object:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None
