import pytest
import torch

from models.chance import Chance
from models.synthetic_ct.scanner import blurred, laid_on_couch, scanned


def test_blurring_keeps_the_mean_and_widens_an_edge():
    x = torch.zeros(1, 1, 9, 9, 9)
    x[..., 5:] = 100
    soft = blurred(x, 0.8)
    assert float(soft.mean()) == pytest.approx(float(x.mean()), rel=0.01)
    assert 0 < float(soft[0, 0, 4, 4, 4]) < 50 < float(soft[0, 0, 4, 4, 5]) < 100
    assert torch.allclose(blurred(torch.full((1, 1, 6, 6, 6), 7.0), 0.5), torch.tensor(7.0))


def test_a_scanner_keeps_ct_numbers_within_calibration_and_noise():
    hu = torch.full((20, 20, 20), 40.0)
    for number in range(8):
        seen = scanned(hu, 5.0, Chance.of(3, number))
        assert seen.shape == hu.shape
        assert float(seen.mean()) == pytest.approx(40, abs=25)
        assert 2 < float(seen.std()) < 60


def test_thick_slices_blur_along_the_patient_only():
    hu = torch.zeros(30, 12, 12)
    hu[15:] = 1000
    soft = [scanned(hu, 1.0, Chance.of(4, n)) for n in range(12)]
    edges = [int(((s[:, 6, 6] > 110) & (s[:, 6, 6] < 890)).sum()) for s in soft]
    assert max(edges) >= 3  # 5 mm slices on 1 mm voxels
    assert min(edges) <= 1


def test_the_couch_lies_behind_the_patient_and_never_in_him():
    codes = torch.zeros((4, 80, 100), dtype=torch.uint8)
    codes[:, 20:50, 20:80] = 2
    body = codes > 0
    laid = 0
    for number in range(12):
        hu = torch.where(body, 0.0, -1000.0)
        seen = laid_on_couch(hu, ~body, 5.0, Chance.of(5, number))
        assert (seen[body] == 0).all()
        couch = (seen > -999) & ~body
        laid += bool(couch.any())
        if couch.any():
            rows = couch.any(2).any(0).nonzero()
            assert int(rows.min()) > 40
    assert 5 <= laid <= 12
