"""Days and times as people type them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import typer


def seconds_of(text: str, zone: str, option: str) -> float:
    """Seconds since the epoch of a day or a time in the node's zone, unless it names another.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        sentence = "a day or a time such as 2026-11-01 or 2026-11-01T13:30"
        raise typer.BadParameter(sentence, param_hint=option) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()
