"""A disk that cannot be written to is told in a sentence."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors(refusal: Callable[[str, str], Exception], area: str, *unfinished: Path) -> Iterator[None]:
    """Turn an OSError within into a refusal with a code and a sentence, and remove what is half written.

    Args:
        refusal: makes the exception, of ``<area>.disk-full`` or ``<area>.unwritable`` and a sentence.
        area: first part of the code, e.g. ``data``.
        unfinished: files that are of no use if they were not written to their end.
    """
    try:
        yield
    except OSError as error:
        for file in unfinished:
            file.unlink(missing_ok=True)
        if error.errno in _FULL:
            sentence = (
                "The disk is full. Make room and run the same command again: it goes on where it stopped."
            )
            raise refusal(f"{area}.disk-full", sentence) from error
        reason = error.strerror or type(error).__name__
        raise refusal(
            f"{area}.unwritable", f"The folder cannot be written to ({reason}). Choose another one."
        ) from error
