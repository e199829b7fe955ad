"""How far a job's contouring is: a small file in its folder, so that telling it costs the ledger nothing.

The worker writes it at most once a second; whoever shows it reads it. It says which run of the job it is of,
so that what a worker left that was ended is not taken for the run after it. On another host than the one that
contours there is none unless the storage is shared, and then nothing is known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_FILE: Final = "progress.json"
_EVERY_SECONDS: Final = 1.0


@contextmanager
def told_in(
    folder: Path, run: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[float], None]]:
    """What a run calls with the part that is done, 0 to 1; nothing of it is left afterwards.

    A disk that takes nothing does not end the run: it only is not told.
    """
    file = folder / _FILE
    told_at: float | None = None

    def tell(part: float) -> None:
        nonlocal told_at
        if told_at is not None and clock() - told_at < _EVERY_SECONDS:
            return
        told_at = clock()
        new = file.with_suffix(".new")
        with suppress(OSError):
            new.write_text(json.dumps({"run": run, "part": round(part, 3)}))
            new.replace(file)  # nobody ever reads half of it

    try:
        yield tell
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def part_done(folder: Path, run: int) -> float | None:
    """The part of this run that is done, 0 to 1; None if nobody has told."""
    try:
        said = json.loads((folder / _FILE).read_bytes())
        part, of = float(said["part"]), said["run"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return min(max(part, 0.0), 1.0) if of == run else None
