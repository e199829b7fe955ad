"""The picture of a run of chaos: who was killed when, and what arrived meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from faults.chaos import Chaos


def draw(run: Chaos, found: dict[str, Any], file: Path) -> None:
    """Write a PNG: above the kills, below the series sent and the sets stored, over the same time."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    kills, counts = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    roles = sorted({role for _, role in run.killer.kills})
    for row, role in enumerate(roles):
        at = [when - run.started for when, who in run.killer.kills if who == role]
        kills.plot(at, [row] * len(at), "|", markersize=14, label=role)
    kills.set_yticks(range(len(roles)), roles)
    kills.set_ylim(-0.6, len(roles) - 0.4)
    kills.set_title(
        f"{found['kills']} kills, {found['series']} series on {found['database']}: {found['lost']} lost, "
        f"{found['duplicated']} duplicated, {found['overlapping']} twice at once"
    )
    sent = sorted(at for sender in run.site.senders for at in sender.finished_at)
    lines = {"series acknowledged": sent}
    lines |= {f"sets at {name}": sorted(there.at) for name, there in run.site.destinations.items()}
    for label, times in lines.items():
        counts.step(np.array(times) - run.started, np.arange(1, len(times) + 1), where="post", label=label)
    if len(run.outage) == 2:
        counts.axvspan(*(at - run.started for at in run.outage), alpha=0.15, label="archive is away")
    counts.axvline(found["killing_seconds"], color="0.5", linestyle=":", label="killing ends")
    counts.set_xlabel("seconds")
    counts.set_ylabel("number")
    counts.legend(loc="lower right")
    figure.savefig(file, dpi=110)
