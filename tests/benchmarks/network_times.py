"""Milliseconds a CT of one network: its plain self in float32 beside ours."""

from __future__ import annotations

import torch
from benchmarks.gpu_report import timed

from models.cards.input_card import Channel, InputCard
from models.network_layout import for_inference
from models.network_run import attempts
from models.networks import NETWORKS, build
from models.sliding_window import blended, look_at


def network_ms(name: str, device: torch.device, *, small: bool) -> tuple[float, float, int]:
    entry = NETWORKS[name]
    side = 64 if small else 256
    patch = (1, side, side) if entry.dimensions == 2 else ((16, 32, 32) if small else (96, 96, 144))
    volume = (4 if small else 64, side, side) if entry.dimensions == 2 else patch
    channels = tuple(Channel((-1000, 1000), 0, 500) for _ in range(entry.in_channels))
    card = InputCard((3.0, 3.0, 3.0), patch, 0.5, -1000, channels)
    torch.manual_seed(0)
    arguments = {"width": 0.25} if small else {}
    network = build(name, in_channels=entry.in_channels, classes=entry.classes, **arguments)
    network = network.eval().requires_grad_(requires_grad=False).to(device)
    hu = torch.randn(volume, device=device) * 200
    look = look_at(hu, card)
    tiles = 200 if entry.dimensions == 2 else 16  # of a CT of 200 slices, body 110 x 160 voxels of 3 mm
    per_pass = volume[0] if entry.dimensions == 2 else 1

    def ms(batch: int, precision: torch.dtype, rounds: int) -> float:
        spent = []
        for _ in range(1 + rounds):
            with timed(device) as seconds:
                blended(network, look, card, batch=batch, precision=precision)
            spent.append(seconds[0])
        return min(spent[1:]) * 1000 * tiles / per_pass

    plain = ms(4, torch.float32, 1)
    for_inference(network, device)
    if device.type == "cuda":
        return plain, ms(attempts(device, patch)[0].batch, torch.float16, 2), tiles
    return plain, ms(1, torch.float32, 1), tiles
