"""Volume in memory to structures on its own grid: ours beside nnU-Net's predictor and MONAI's sliding window.

On the processor here; what a GPU gives is measured by ``infer_on_gpu.py``, whose newest JSON beside this
benchmark's, if there is one, fills the rows of the GPU.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from benchmarks.contestants import versions_of, worker
from benchmarks.painted_case import FULL, NAMES, SMALL, Size, painted_bundle, painted_ct
from benchmarks.rounds import Samples, interleaved
from benchmarks.scoreboard import Bar, Row, Scoreboard, absolute, compared, not_measured
from benchmarks.settings import Settings

from service.dicom.ct_writer import write_ct

PEERS = ("nnU-Net", "MONAI")
WRITERS = {"rt-utils": "modern", "TotalSegmentator": "torch"}
"""Peers that make the structure set, by the environment they live in."""
_ON_GPU = "infer_on_gpu.json"
_TO_BYTES = "volume in memory to RTSTRUCT bytes, 200 x 512 x 512, GPU: seconds"


def measure(settings: Settings) -> Scoreboard:
    """200 slices of 512 x 512, the network of the default bundle, two threads."""
    size = SMALL if settings.small else FULL
    work = settings.work("infer")
    bundle = work / "painted"
    painted_bundle(bundle, size)
    task = {"size": size.as_json(), "bundle": str(bundle)}
    contestants = {"ours": worker("infer_ours", task | {"labels": str(work / "ours.npy")})}
    for peer in PEERS:
        own = task | {"peer": peer, "labels": str(work / f"{peer}.npy")}
        contestants[peer] = worker("infer_peer", own, "torch")
    samples = interleaved(contestants, settings.rounds(3))
    board = Scoreboard("infer", versions=versions_of("modern", "torch"))
    board.rows += _on_processor(samples, f"{size.slices} x {size.pixels} x {size.pixels}, processor")
    board.rows += _agreement(work, size, samples)
    board.rows += _written(settings, work, size)
    board.rows += _on_gpu(settings.out / _ON_GPU)
    board.remarks.append(
        "The peers run the same network, patch and overlap without mirroring, in float32, and give labels; ours "
        "gives fields for contours between pixels."
    )
    return board


def _on_processor(samples: Samples, size: str) -> list[Row]:
    nnunet = {name: values for name, values in samples.of("seconds").items() if name in ("ours", "nnU-Net")}
    memory = samples.of("peak_mib")
    why = samples.reason
    what = f"network, resampling, softmax, {size}"
    rows = [
        compared(what, "s", nnunet, Bar(">=", 3, against="of nnU-Net"), reason=why),
        absolute(f"{what}: seconds", "s", nnunet["ours"], Bar("<=", 40, of="ours")),
        absolute(f"{what}: peak memory", "MiB", memory["ours"], Bar("<=", 4096, of="ours")),
        compared(f"{what}: memory beside peers", "MiB", memory, reason=why),
        compared(f"{what}: processor time", "s", samples.of("cpu_seconds"), reason=why),
    ]
    if "MONAI" in samples.figures:
        window = {name: values for name, values in samples.of("seconds").items() if name != "nnU-Net"}
        rows.append(compared(f"{what}: beside MONAI", "s", window, reason=why))
    return rows


def _agreement(work: Path, size: Size, samples: Samples) -> list[Row]:
    """Mean DSC against what was painted: the same network must have seen the same CT."""
    painted = painted_ct(size).hu
    rows = []
    for name in (n for n in ("ours", *PEERS) if n in samples.figures):
        labels = np.load(work / f"{name}.npy")
        found = []
        for number in range(1, len(NAMES) + 1):
            own, truth = labels == number, np.abs(painted - 60 * number) <= 10
            found.append(2 * float((own & truth).sum()) / float(own.sum() + truth.sum()))
        rows.append(absolute(f"median DSC against what was painted, {name}", "", [float(np.median(found))]))
    return rows


def _written(settings: Settings, work: Path, size: Size) -> list[Row]:
    """The case's structures from memory to the file: the same on a machine with a GPU, for ours and for peers."""
    painted = painted_ct(size)
    write_ct(work / "ct", painted.hu, painted.grid)
    (work / "masks").mkdir(exist_ok=True)
    for number, name in enumerate(NAMES, start=1):
        np.save(work / "masks" / f"{name}.npy", np.abs(painted.hu - 60 * number) <= 10)
    task = {"ct": str(work / "ct"), "masks": str(work / "masks"), "hollow": ""}
    contestants = {"ours": worker("write_ours", task | {"out": str(work / "ours.dcm")})}
    for name, environment in WRITERS.items():
        own = task | {"out": str(work / f"{name}.dcm")}
        contestants[name] = worker(f"write_{name.lower().replace('-', '_')}", own, environment)
    samples = interleaved(contestants, settings.rounds(3))
    what = f"{len(NAMES)} structures of {size.slices} x {size.pixels} x {size.pixels} and the CT's folder to RTSTRUCT"
    return [
        compared(what, "s", samples.of("seconds"), reason=samples.reason),
        compared(f"{what}: processor time", "s", samples.of("cpu_seconds"), reason=samples.reason),
    ]


def _on_gpu(file: Path) -> list[Row]:
    """The rows of a GPU, from what runs of ``infer_on_gpu.py`` left; not measured where there is nothing.

    Beside ``file`` may lie those of further runs: ``infer_on_gpu-nnunet.json``.
    """
    files = sorted(file.parent.glob(f"{file.stem}*.json"))
    rows = [row for one in files for row in json.loads(one.read_text())["rows"]]
    seconds = {row["what"]: row["seconds"] for row in rows if "seconds" in row}
    memory = {row["what"]: row["gpu_gib"] for row in rows if "gpu_gib" in row}
    what = "network, resampling, softmax, 200 x 512 x 512, GPU"
    ours = next((n for n in ("ours compiled float16", "ours eager float16") if n in seconds), None)
    bars = {"nnunet, whole": Bar(">=", 10), "monai float16": Bar(">=", 3), "monai float32": Bar(">=", 3)}
    if ours is None:
        why = f"no GPU here; python tests/benchmarks/infer_on_gpu.py leaves {_ON_GPU} on a machine with one"
        own = [
            not_measured(f"{what}: seconds", "s", why, Bar("<=", 0.4, of="ours")),
            not_measured(f"{what}: memory", "GiB", why, Bar("<=", 8, of="ours")),
            not_measured(_TO_BYTES, "s", why, Bar("<=", 1.0, of="ours")),
        ]
        return own + [not_measured(f"{what}, beside {peer}", "s", why, bar) for peer, bar in bars.items()]
    found = [
        absolute(f"{what}: seconds", "s", [seconds[ours]], Bar("<=", 0.4, of="ours")),
        absolute(f"{what}: memory", "GiB", [memory[ours]], Bar("<=", 8, of="ours")),
    ]
    whole = seconds.get("volume to RTSTRUCT bytes")
    bar = Bar("<=", 1.0, of="ours")
    if whole is None:
        found.append(not_measured(_TO_BYTES, "s", "not in that file", bar))
    else:
        found.append(absolute(_TO_BYTES, "s", [whole], bar))
    for peer, bar in bars.items():
        if peer in seconds:
            of_same_rounds = seconds.get(f"ours beside {re.split('[ ,]', peer)[0]}", seconds[ours])
            pair = {"ours": [of_same_rounds], peer: [seconds[peer]]}
            found.append(compared(f"{what}, beside {peer}", "s", pair, bar))
        else:
            found.append(not_measured(f"{what}, beside {peer}", "s", "not in that file", bar))
    return found
