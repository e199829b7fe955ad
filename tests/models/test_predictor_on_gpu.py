"""The same answer on a GPU as on the CPU; skipped where there is no GPU."""

from __future__ import annotations

import pytest
import torch

from models.catalog import find_bundle
from models.predictor import load
from models.training.phantom import pelvic_phantom

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def test_the_pelvic_model_says_the_same_on_both_devices_within_the_memory_it_may_use() -> None:
    patient = pelvic_phantom(900_003)
    sample = patient.sample(patient.grid(pixel_mm=3.0, slice_mm=4.0))
    card = find_bundle("pelvis-ct@2.0")
    torch.cuda.reset_peak_memory_stats()
    on_gpu = load(card, "cuda").segment(sample.volume)
    assert torch.cuda.max_memory_allocated() < 8 * 2**30
    on_cpu = load(card, "cpu").segment(sample.volume)
    assert on_gpu.provenance.device.startswith("cuda")
    assert set(on_gpu.structures) == set(on_cpu.structures)
    for name, field in on_cpu.structures.items():
        a, b = field.mask(sample.hu.shape), on_gpu.structures[name].mask(sample.hu.shape)
        dsc = 2 * (a & b).sum() / (a.sum() + b.sum())
        assert dsc > 0.99, name
