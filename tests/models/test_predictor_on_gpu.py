"""The same answer on a GPU as on the CPU; skipped where there is no GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.body_shape import dilate
from models.cards.catalog import find_bundle
from models.predictor import load
from models.synthetic_ct.phantoms.phantom import pelvic_phantom

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


@pytest.fixture(scope="module")
def sample():
    patient = pelvic_phantom(900_003)
    return patient.sample(patient.grid(pixel_mm=3.0, slice_mm=4.0))


@pytest.fixture(scope="module")
def on_cpu(sample):
    return load(find_bundle("pelvis-ct@2.0"), "cpu").segment(sample.volume)


def assert_the_same(found, expected, sample) -> None:
    """DSC from 1 cm3 on; below it, no surface voxel is farther than one from the other's."""
    assert set(found.structures) == set(expected.structures)
    grid = sample.volume.grid
    for name, field in expected.structures.items():
        a, b = (one.mask(sample.hu.shape) for one in (field, found.structures[name]))
        if field.volume_cm3(grid) >= 1:
            assert 2 * (a & b).sum() / (a.sum() + b.sum()) >= 0.999, name
        else:
            wider = dilate(a, 4.0, (4.0, 3.0, 3.0)), dilate(b, 4.0, (4.0, 3.0, 3.0))
            assert not (b & ~wider[0]).any(), name
            assert not (a & ~wider[1]).any(), name


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_pelvic_model_says_the_same_on_both_devices_within_the_memory_it_may_use(
    precision, sample, on_cpu
) -> None:
    torch.cuda.reset_peak_memory_stats()
    on_gpu = load(find_bundle("pelvis-ct@2.0"), "cuda", precision).segment(sample.volume)
    assert max(peak.on_gpu for peak in on_gpu.peaks.values()) < 8 * 2**30
    assert on_gpu.provenance.device.startswith("cuda")
    assert (on_gpu.provenance.precision, on_gpu.provenance.steps_down) == (precision, ())
    assert_the_same(on_gpu, on_cpu, sample)


def test_half_precision_is_what_a_gpu_runs_and_it_repeats_itself(sample) -> None:
    predictor = load(find_bundle("pelvis-ct@2.0"), "cuda")
    first, second = predictor.segment(sample.volume), predictor.segment(sample.volume)
    assert (first.provenance.precision, first.provenance.mode) == ("float16", "eager")
    for name, field in first.structures.items():
        assert np.array_equal(field.field, second.structures[name].field)


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_on_a_gpu_it_says_the_same_and_repeats_itself(sample, on_cpu, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    predictor = load(find_bundle("pelvis-ct@2.0"), "cuda")
    predictor.compile()
    first, second = predictor.segment(sample.volume), predictor.segment(sample.volume)
    assert first.provenance.mode == "compiled"
    assert_the_same(first, on_cpu, sample)
    for name, field in first.structures.items():
        assert np.array_equal(field.field, second.structures[name].field)
