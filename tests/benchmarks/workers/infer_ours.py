"""Ours: a volume in memory to fields on its own grid, as a bundle's predictor makes them.

Task: ``size`` (of the painted case), ``bundle`` (folder), ``compiled``, ``precision`` (or none), ``labels`` (file).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.painted_case import Size, painted_ct
from benchmarks.stopwatch import MIB, Stopwatch, work

from models.cards.card import read_card
from models.predictor import load

_TIMED = ("resample", "network", "fields")


def job(task: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(task.get("threads") or os.cpu_count() or 1)
    volume = painted_ct(Size.of(task["size"]))
    card = read_card(Path(task["bundle"]) / "card.yaml")
    predictor = load(card, "cpu", task.get("precision"))
    if task.get("compiled"):
        predictor.compile()
    with Stopwatch() as watch:
        found = predictor.segment(volume)
    labels = np.zeros(volume.hu.shape, np.uint8)
    for name, field in found.structures.items():
        labels[field.slices_zyx][field.field > 0] = card.outputs.index(name)
    np.save(task["labels"], labels)
    return {
        "seconds": sum(found.seconds[stage] for stage in _TIMED),
        "cpu_seconds": watch.figures["cpu_seconds"],
        "whole_seconds": watch.figures["seconds"],
        # each stage has begun the peak anew
        "peak_mib": max(peak.resident for peak in found.peaks.values()) / MIB,
        "mode": found.provenance.mode,
        "stages": dict(found.seconds),
    }


if __name__ == "__main__":
    work(job)
