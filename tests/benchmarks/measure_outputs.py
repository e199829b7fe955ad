"""What the other objects of a contoured CT cost, segmentations beside highdicom used as its documentation has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from benchmarks.contestants import versions_of, worker
from benchmarks.pelvis_case import HOLLOW, SECTIONS, PelvisCase
from benchmarks.rounds import in_own_process, interleaved
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute, compared
from benchmarks.settings import Settings

ALONE = ("nifti", "preview", "preview-pdf")
"""Objects that no peer makes."""


def measure(settings: Settings) -> Scoreboard:
    """Seven structures on 150 slices of 512 x 512."""
    case = PelvisCase(60, 256) if settings.small else PelvisCase()
    work = settings.work("outputs")
    case.write(work)
    board = Scoreboard("outputs", versions=versions_of())
    what = f"{len(SECTIONS)} structures, {case.slices} x {case.pixels} x {case.pixels}"
    for kind in ("segmentation", "segmentation-labelmap"):
        board.rows += _beside_highdicom(settings, work, kind, what)
    structure_set = work / "rtstruct.dcm"
    task = {"ct": str(work / "ct"), "masks": str(work / "masks"), "out": str(structure_set), "hollow": HOLLOW}
    in_own_process("write_ours", task)
    for kind in ALONE:
        board.rows += _alone(settings, work, kind, what, structure_set)
    return board


def _beside_highdicom(settings: Settings, work: Path, kind: str, what: str) -> list[Row]:
    tasks = {
        name: {
            "ct": str(work / "ct"),
            "masks": str(work / "masks"),
            "kind": kind,
            "out": str(work / f"{name}.dcm"),
        }
        for name in ("ours", "highdicom")
    }
    by_turns = interleaved(
        {name: worker(f"output_{name}", task) for name, task in tasks.items()}, settings.rounds(5), warm_up=1
    )
    ours, theirs = (pydicom.dcmread(task["out"]) for task in tasks.values())
    same = len(ours.PixelData) == len(theirs.PixelData) and bool(
        (np.frombuffer(ours.PixelData, np.uint8) == np.frombuffer(theirs.PixelData, np.uint8)).all()
    )
    bar = Bar("<=", 1.0, against="of highdicom's")
    return [
        # A label map is highdicom's own, and more is said in it.
        compared(
            f"{kind}, {what}, CPU",
            "s",
            by_turns.of("cpu_seconds"),
            bar if kind == "segmentation" else None,
            reason=by_turns.reason,
        ),
        compared(f"{kind}, elapsed", "s", by_turns.of("seconds")),
        compared(f"{kind}, memory beyond CT headers and structures", "MiB", by_turns.of("added_mib"), bar),
        absolute(
            f"{kind}, pixels that are highdicom's own (1: all)", "", [float(same)], Bar(">=", 1.0, of="ours")
        ),
    ]


def _alone(settings: Settings, work: Path, kind: str, what: str, structure_set: Path) -> list[Row]:
    figures = []
    for number in range(settings.rounds(3)):
        out = work / f"{kind}-{number}" / "structures.json" if kind == "nifti" else work / f"{kind}.dcm"
        task = {
            "ct": str(work / "ct"), "masks": str(work / "masks"), "kind": kind, "out": str(out),
            "structure_set": str(structure_set),
        }  # fmt: skip
        figures.append(in_own_process("output_ours", task))
    return [
        absolute(f"{kind}, {what}, CPU", "s", [one["cpu_seconds"] for one in figures]),
        absolute(
            f"{kind}, memory beyond CT headers and structures", "MiB", [one["added_mib"] for one in figures]
        ),
    ]
