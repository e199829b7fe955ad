"""UIDs of what we make, and of ourselves."""

from __future__ import annotations

import hashlib
from typing import Final

IMPLEMENTATION_CLASS_UID: Final = "2.25.222732820559691571296227540481230179367"
IMPLEMENTATION_VERSION_NAME: Final = "DELINEATE_0_1"

_LONGEST: Final = 64
_UUID_ROOT: Final = "2.25"


def derived_uid(uid_root: str, *parts: object) -> str:
    """A UID that depends on nothing but the root and the parts: asked again, it is the same.

    Under 2.25 the number is that of a UUID of version 8 (RFC 9562) made from the parts' digest, as PS3.5 B.2
    asks; under a registered root it is as many digits of the digest as 64 characters hold, 39 at most.

    Args:
        uid_root: ``2.25``, or a registered root.
        parts: for example job id, destination, revision.
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    number = int.from_bytes(digest[:16], "big")
    if uid_root == _UUID_ROOT:
        number = number & ~(0xF << 76) | 0x8 << 76
        number = number & ~(0x3 << 62) | 0x2 << 62
        return f"{uid_root}.{number}"
    digits = min(_LONGEST - len(uid_root) - 1, 39)
    return f"{uid_root}.{1 + number % (10**digits - 1)}"
