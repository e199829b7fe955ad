"""Every metric against a library that knows nothing of ours: SimpleITK, MONAI, surface-distance, SciPy.

MONAI answers in single precision, so it is compared with a millionth of the value; the others agree to 1e-6.
"""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai import metrics as monai
from scipy import ndimage

from models.metrics import (
    dice,
    jaccard,
    slice_dice,
    slice_hd95_mm,
    surface_distances,
    surface_elements,
    volume_cm3,
)

# What the libraries do is of their own age: surface-distance to SciPy, MONAI to itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:monai.metrics:FutureWarning"),
]
SPACING = (3.0, 1.1, 0.7)
SINGLE = {"rel": 1e-6, "abs": 1e-6}


def blobs(seed):
    """Two contourings of one smooth random shape, in several parts and cut off by the volume."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(14, 40, 44)), (1.5, 4, 4))
    other = ndimage.gaussian_filter(rng.normal(size=(14, 40, 44)), (1.5, 4, 4))
    return field > 0.01, field + 0.3 * other > 0.01


@pytest.fixture(params=[1, 2, 3])
def pair(request):
    return blobs(request.param)


@pytest.fixture
def grid(make_grid):
    return make_grid((14, 40, 44), SPACING)


def channel(mask):
    return torch.from_numpy(mask)[None, None].float()


def image(mask):
    found = sitk.GetImageFromArray(mask.astype(np.uint8))
    found.SetSpacing(SPACING[::-1])
    return found


def test_overlap_agrees_with_simpleitk(pair):
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*(image(mask) for mask in pair))
    assert dice(*pair) == pytest.approx(measures.GetDiceCoefficient(), abs=1e-6)
    assert jaccard(*pair) == pytest.approx(measures.GetJaccardCoefficient(), abs=1e-6)


def test_volume_agrees_with_simpleitk(pair, grid):
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(image(pair[0]))
    assert volume_cm3(pair[0], grid) == pytest.approx(shape.GetPhysicalSize(1) / 1000, abs=1e-6)


def test_overlap_agrees_with_monai(pair):
    truth, answer = (channel(mask) for mask in pair)
    assert dice(*pair) == pytest.approx(float(monai.compute_dice(answer, truth)), **SINGLE)
    assert jaccard(*pair) == pytest.approx(float(monai.compute_iou(answer, truth)), **SINGLE)


def test_dice_of_slices_agrees_with_monai_given_one_slice_at_a_time(pair):
    truth, answer = (mask.copy() for mask in pair)
    truth[2] = answer[2] = answer[5] = truth[7] = False
    # MONAI takes no DSC where the truth is empty; ours is 0 there unless the answer is empty too.
    theirs = monai.compute_dice(channel(answer)[0, 0][:, None], channel(truth)[0, 0][:, None])[:, 0].numpy()
    theirs[7] = 0.0
    np.testing.assert_allclose(slice_dice(truth, answer), np.delete(theirs, 2), atol=1e-6)


def test_hausdorff_distances_agree_with_monai(pair, grid):
    found = surface_distances(*pair, grid)
    truth, answer = (channel(mask) for mask in pair)
    options = {"include_background": True, "spacing": SPACING}
    largest = monai.compute_hausdorff_distance(answer, truth, **options)
    larger95 = monai.compute_hausdorff_distance(answer, truth, percentile=95, **options)
    assert found.hausdorff_mm == pytest.approx(float(largest), **SINGLE)
    assert found.hd95_larger_mm == pytest.approx(float(larger95), **SINGLE)


def test_mean_distances_agree_with_monai(pair, grid):
    found = surface_distances(*pair, grid)
    truth, answer = (channel(mask) for mask in pair)
    options = {"include_background": True, "spacing": SPACING}
    symmetric = monai.compute_average_surface_distance(answer, truth, symmetric=True, **options)
    of_answer = monai.compute_average_surface_distance(answer, truth, **options)
    of_truth = monai.compute_average_surface_distance(truth, answer, **options)
    assert found.assd_mm == pytest.approx(float(symmetric), **SINGLE)
    assert found.asd_mm == pytest.approx(float(of_answer), **SINGLE)
    assert found.msd_mm == pytest.approx(float(of_answer + of_truth) / 2, **SINGLE)


def scipy_distances(truth, answer, spacing):
    surfaces = [mask ^ ndimage.binary_erosion(mask) for mask in (truth, answer)]
    maps = [ndimage.distance_transform_edt(~each, sampling=spacing) for each in surfaces]
    return np.concatenate([maps[1][surfaces[0]], maps[0][surfaces[1]]])


def test_pooled_hd95_agrees_with_scipy_in_three_dimensions_and_slice_by_slice(pair, grid):
    expected = np.percentile(scipy_distances(*pair, SPACING), 95)
    assert surface_distances(*pair, grid).hd95_mm == pytest.approx(expected, abs=1e-6)
    slices = [np.percentile(scipy_distances(t, a, SPACING[1:]), 95) for t, a in zip(*pair, strict=True)]
    np.testing.assert_allclose(slice_hd95_mm(*pair, grid), slices, atol=1e-6)


@pytest.mark.parametrize("tolerance_mm", [0.0, 1.1, 2.0])
def test_surface_dice_and_surface_overlap_agree_with_surface_distance(pair, grid, tolerance_mm):
    import surface_distance

    theirs = surface_distance.compute_surface_distances(*pair, SPACING)
    found = surface_elements(*pair, grid)
    of_truth, of_answer = surface_distance.compute_surface_overlap_at_tolerance(theirs, tolerance_mm)
    sd = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance_mm)
    assert found.surface_dice(tolerance_mm) == pytest.approx(sd, abs=1e-6)
    assert found.overlap_of_truth(tolerance_mm) == pytest.approx(of_truth, abs=1e-6)
    assert found.overlap_of_answer(tolerance_mm) == pytest.approx(of_answer, abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_distances_of_surface_distance_differ_by_less_than_half_a_voxel(seed, grid):
    """Its ASD and HD95 are between surface elements, weighed by area; ours between voxels, each counting once.

    The elements of one shape stand half a voxel outside its surface voxels, those of the other too, so the two
    ways differ by no more than the step of a voxel's half, and neither is the other's to 1e-6.
    """
    import surface_distance

    pair = blobs(seed)
    found = surface_distances(*pair, grid)
    theirs = surface_distance.compute_surface_distances(*pair, SPACING)
    of_truth, of_answer = surface_distance.compute_average_surface_distance(theirs)
    half_a_voxel = np.linalg.norm(SPACING) / 2
    assert found.asd_mm == pytest.approx(of_answer, abs=half_a_voxel)
    assert found.msd_mm == pytest.approx((of_truth + of_answer) / 2, abs=half_a_voxel)
    robust = surface_distance.compute_robust_hausdorff(theirs, 95)
    assert found.hd95_larger_mm == pytest.approx(robust, abs=2 * half_a_voxel)
