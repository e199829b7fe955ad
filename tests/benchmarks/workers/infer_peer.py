"""nnU-Net v2's predictor, or MONAI's window, on the same volume with the same network, from volume to labels.

Task: ``size`` (of the painted case), ``bundle`` (folder), ``peer``, ``labels`` (file).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks import infer_peers
from benchmarks.painted_case import Size, painted_ct
from benchmarks.stopwatch import Stopwatch, work

from models.cards.card import read_card


def job(task: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(os.cpu_count() or 1)
    device = torch.device("cpu")
    volume = painted_ct(Size.of(task["size"]))
    card = read_card(Path(task["bundle"]) / "card.yaml")
    if task["peer"] == "nnU-Net":
        predictor = infer_peers.nnunet_predictor(card, device)
        with Stopwatch() as watch:
            labels = infer_peers.nnunet_whole(predictor, volume)
    else:
        run = infer_peers.monai_window(card, device, torch.float32)
        with Stopwatch() as watch:
            labels = run(volume)
    np.save(task["labels"], labels.astype(np.uint8))
    return dict(watch.figures)


if __name__ == "__main__":
    work(job)
