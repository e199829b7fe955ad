import dataclasses

import numpy as np
import pytest
import torch

from models.cards.card import BundleError
from models.cards.catalog import find_bundle
from models.plausibility import center_lps_mm
from models.predictor import OutputNotFinite, load
from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED, Part, pelvic_phantom
from models.volume import CtVolume, Grid, OutsideTrainedRegion


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture
def noise(make_grid):
    """Something with structure at every scale; 30 slices."""
    rng = np.random.default_rng(4)
    coarse = rng.normal(0, 500, (10, 12, 14)).repeat(3, 0).repeat(4, 1).repeat(4, 2)
    return CtVolume(coarse.astype(np.int16), make_grid(coarse.shape, (2.5, 2.0, 1.8)))


def test_the_same_patient_in_every_orientation_gets_the_same_structures(
    network_bundle, noise, every_orientation
):
    predictor = load(network_bundle(), "cpu")
    expected = predictor.segment(noise).structures
    assert set(expected) == {"Femur_Head_L", "Femur_Head_R"}
    for orientation in every_orientation:
        turned = orientation.of(noise)
        found = predictor.segment(turned).structures
        for name, field in found.items():
            mask = orientation.undone(field.mask(turned.hu.shape))
            assert dsc(mask, expected[name].mask(noise.hu.shape)) > 0.9999


def test_a_mirrored_patient_is_not_the_same(network_bundle, noise):
    predictor = load(network_bundle(), "cpu")
    mirrored = CtVolume(np.ascontiguousarray(noise.hu[:, :, ::-1]), noise.grid)
    a, b = (predictor.segment(v).structures["Femur_Head_L"].mask(noise.hu.shape) for v in (noise, mirrored))
    assert dsc(a, b[:, :, ::-1]) < 0.99


class AboveThreeHundred(torch.nn.Module):
    """Stands in for a network: the last class where the HU are above 300."""

    def forward(self, x):
        return torch.cat([0 * x, 0 * x - 9, (x - 0.6) * 5], dim=1)


def test_an_oblique_and_unevenly_spaced_ct_is_segmented_where_it_is(network_bundle, make_grid, monkeypatch):
    """A ball of 50 mm about a known point, sampled straight and in tilted slices of 2.5 and then 5 mm."""
    center, radius = np.array([8.0, -4.0, 2.0]), 50.0

    def volume_of(grid):
        rows, columns = np.mgrid[: grid.rows, : grid.columns].astype(float)
        planes = [grid.positions_lps_mm(k, rows, columns) for k in range(len(grid.slice_origins_lps_mm))]
        distance = np.linalg.norm(np.stack(planes) - center, axis=-1)
        return CtVolume(np.clip(300 + 12 * (radius - distance), -1000, 1000).astype(np.int16), grid)

    angle = np.radians(7)
    row = np.array([0.0, np.cos(angle), np.sin(angle)])
    normal = np.cross([1.0, 0.0, 0.0], row)
    offsets = np.concatenate([np.arange(0, 75, 2.5), np.arange(75, 150, 5.0)]) - 74
    origins = offsets[:, None] * normal - 79 * np.array([1.0, 0, 0]) - 79 * row
    tilted = Grid(origins, np.array([2.0, 0, 0]), 2.0 * row, 80, 80)
    predictor = load(network_bundle(), "cpu")
    monkeypatch.setattr(predictor._network, "_network", AboveThreeHundred())
    for grid in (make_grid((60, 80, 80), (2.5, 2.0, 2.0)), tilted):
        field = predictor.segment(volume_of(grid)).structures["Femur_Head_R"]
        assert field.volume_cm3(grid) == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.02)
        np.testing.assert_allclose(center_lps_mm(field, grid), center, atol=0.3)


def test_only_what_is_wanted_is_returned_and_partners_are_only_looked_at(network_bundle, noise):
    predictor = load(network_bundle(pairs=[["Femur_Head_L", "Femur_Head_R"]]), "cpu")
    found = predictor.segment(noise, ["Femur_Head_R"])
    assert set(found.structures) <= {"Femur_Head_R"}
    assert {finding.structure for finding in found.findings} <= {None, "Femur_Head_R"}


def test_a_structure_that_the_model_does_not_offer_is_refused(network_bundle, noise):
    with pytest.raises(BundleError, match="does not offer Nose"):
        load(network_bundle(), "cpu").segment(noise, ["Nose"])


def test_structures_on_the_wrong_side_are_left_out(network_bundle, noise):
    """The card calls left what the network finds on the right, and the other way round."""
    honest = load(network_bundle(), "cpu").segment(noise)
    x = {name: center_lps_mm(field, noise.grid)[0] for name, field in honest.structures.items()}
    left, right = sorted(x, key=lambda name: -x[name])
    for pair, kept in (([left, right], {left, right}), ([right, left], set())):
        found = load(network_bundle(pairs=[pair]), "cpu").segment(noise)
        assert set(found.structures) == kept
        wrong = {f.structure for f in found.findings if f.code == "structure.wrong-side"}
        assert wrong == {left, right} - kept


def test_provenance_says_which_weights_on_what(network_bundle, noise):
    card = network_bundle()
    made = load(card, "cpu").segment(noise).provenance
    assert (made.model, made.version, made.sha256) == ("tiny", "1.0", card.weights.sha256)
    assert (made.device, made.precision, made.steps_down, made.validated) == ("cpu", "float32", (), False)


def test_progress_rises_to_one(network_bundle, noise):
    told = []
    load(network_bundle(), "cpu").segment(noise, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_an_answer_with_nan_is_refused(network_bundle, noise, monkeypatch):
    predictor = load(network_bundle(), "cpu")
    network = predictor._network._network
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda x: forward(x) * float("nan"))
    with pytest.raises(OutputNotFinite) as refusal:
        predictor.segment(noise)
    assert refusal.value.code == "model.not-finite"


def test_the_same_ct_gives_the_same_bits(network_bundle, noise):
    predictor = load(network_bundle(), "cpu")
    first, second = predictor.segment(noise), predictor.segment(noise)
    for name, field in first.structures.items():
        assert np.array_equal(field.field, second.structures[name].field)


def test_nothing_is_left_for_gradients(network_bundle, noise):
    predictor = load(network_bundle(), "cpu")
    predictor.segment(noise)
    assert not any(p.requires_grad for p in predictor._network._network.parameters())
    assert torch.is_grad_enabled()


@pytest.fixture(scope="module")
def pelvis():
    return load(find_bundle("pelvis-ct@2.0"), "cpu")


def assert_no_pelvis(predictor, volume):
    with pytest.raises(OutsideTrainedRegion) as refusal:
        predictor.segment(volume)
    assert refusal.value.code == "region.no-pelvis"


def test_a_head_sized_sphere_is_no_pelvis(pelvis, make_grid):
    z, y, x = np.mgrid[:60, :60, :60] - 29.5
    ball = np.where(np.hypot(np.hypot(z, y), x) * 4 < 90, 40, -1000).astype(np.int16)
    assert_no_pelvis(pelvis, CtVolume(ball, make_grid(ball.shape, (4.0, 4.0, 4.0))))


def test_a_skull_is_too_dense_for_a_pelvis(pelvis, make_grid):
    z, y, x = np.mgrid[:60, :60, :60] - 29.5
    r = np.hypot(np.hypot(z, y), x) * 4
    skull = np.where(r < 80, 35, np.where(r < 88, 900, -1000)).astype(np.int16)
    assert_no_pelvis(pelvis, CtVolume(skull, make_grid(skull.shape, (4.0, 4.0, 4.0))))


@pytest.mark.parametrize("part", [Part.ABDOMEN, Part.THORAX])
def test_a_phantom_cut_above_the_third_lumbar_vertebra_is_no_pelvis(pelvis, part):
    phantom = pelvic_phantom(NEVER_TRAINED_FROM_SEED)
    assert_no_pelvis(pelvis, phantom.sample(phantom.grid(part, pixel_mm=4.0, slice_mm=5.0)).volume)


@pytest.mark.slow
def test_half_a_pelvis_is_contoured_with_its_warning(pelvis):
    phantom = pelvic_phantom(NEVER_TRAINED_FROM_SEED)
    sample = phantom.sample(phantom.grid(Part.HALF, pixel_mm=4.0, slice_mm=5.0))
    found = pelvis.segment(sample.volume)
    assert "region.partial" in {finding.code for finding in found.findings}
    assert not {"Femur_Head_R"} & set(found.structures)
    assert dsc(found.structures["Femur_Head_L"].mask(sample.hu.shape), sample.mask("Femur_Head_L")) > 0.7


@pytest.mark.slow
def test_the_phantoms_organs_are_found_where_they_are_and_left_is_left(pelvis):
    phantom = pelvic_phantom(NEVER_TRAINED_FROM_SEED)
    sample = phantom.sample(phantom.grid(pixel_mm=4.0, slice_mm=5.0))
    found = pelvis.segment(sample.volume)
    assert "region.partial" not in {finding.code for finding in found.findings}
    for name in ("Bladder", "Femur_Head_L", "Femur_Head_R", "Bone_Pelvic_L", "Bone_Pelvic_R", "Sacrum"):
        assert dsc(found.structures[name].mask(sample.hu.shape), sample.mask(name)) > 0.65, name


@pytest.mark.shared_data
def test_a_real_thorax_is_no_pelvis(pelvis, shared_data, read_series):
    volume, _ = read_series(shared_data / "dicom" / "thorax-20-slices")
    assert_no_pelvis(pelvis, volume)


@pytest.mark.shared_data
@pytest.mark.slow
def test_a_real_thorax_with_shoulders_is_no_pelvis(pelvis, shared_data, read_series):
    volume, _ = read_series(shared_data / "dicom" / "breast-98-slices-jpeg2000")
    assert_no_pelvis(pelvis, volume)


class Brightness(torch.nn.Module):
    """Sigmoid outputs of single slices: positive between 250 and 550 HU, and above 600 HU."""

    dimensions = 2

    def forward(self, x):
        return torch.cat([(0.3 - (x - 0.8).abs()) * 50, (x - 1.2) * 50], dim=1)


def flat_card(network_bundle, **changes):
    """A card of a slice-wise network with an output for both heads and one on the midline."""
    card = {
        "network": {"name": "unet-res-enc", "arguments": {"features": [4, 6]}},
        "outputs": ["Femur_Heads", "Sacrum"],
        "activation": "sigmoid",
        "left_right": {"Femur_Heads": ["Femur_Head_L", "Femur_Head_R"]},
        "structures": {
            name: {"extent": "bright", "volume_cm3": [0.001, 1e6]}
            for name in ("Femur_Head_L", "Femur_Head_R", "Sacrum")
        },
        "midline": ["Sacrum"],
    }
    return network_bundle(("Sacrum",), **(card | changes))


@pytest.fixture
def flat_predictor(network_bundle, monkeypatch):
    from models import network_run

    def make(**changes):
        monkeypatch.setattr(network_run, "network_of", lambda *_, **__: Brightness())
        monkeypatch.setattr(network_run, "load_weights", lambda *_: "0" * 64)
        card = flat_card(network_bundle, **changes)
        shown = dataclasses.replace(card.input, spacing_zyx_mm=(None, None, None), patch_zyx=(1, 32, 32))
        return load(dataclasses.replace(card, input=shown), "cpu")

    return make


def two_heads_and_a_sacrum(grid, *, sacrum=True):
    """Two bright boxes 96 mm apart on some slices, left of the patient larger; a brighter one between them."""
    hu = np.full(grid.shape_zyx, 0, np.int16)
    hu[4:8, 20:25, 5:10] = 400  # x runs to the patient's left: this is the right one
    hu[3:9, 20:26, 52:60] = 400
    if sacrum:
        hu[5:9, 30:36, 30:35] = 800
    return CtVolume(hu, grid)


def test_a_flat_sigmoid_network_is_split_into_left_and_right_in_every_orientation(
    flat_predictor, make_grid, every_orientation
):
    straight = two_heads_and_a_sacrum(make_grid((12, 48, 64), (3.0, 2.0, 2.0)))
    predictor = flat_predictor()
    for orientation in every_orientation:
        turned = orientation.of(straight)
        found = predictor.segment(turned).structures
        truth = {
            "Femur_Head_R": (straight.hu == 400) & (np.arange(64) < 30),
            "Femur_Head_L": (straight.hu == 400) & (np.arange(64) > 35),
            "Sacrum": straight.hu == 800,
        }
        assert set(found) == set(truth)
        for name, mask in truth.items():
            np.testing.assert_array_equal(orientation.undone(found[name].mask(turned.hu.shape)), mask)


def test_a_head_that_cannot_be_told_left_from_right_is_left_out_and_said_so(flat_predictor, make_grid):
    volume = two_heads_and_a_sacrum(make_grid((12, 48, 64), (3.0, 2.0, 2.0)), sacrum=False)
    volume.hu[:, :, :30] = 0  # one head, no midline
    found = flat_predictor().segment(volume)
    assert not found.structures
    unknown = [f.structure for f in found.findings if f.code == "structure.side-unknown"]
    assert sorted(unknown) == ["Femur_Head_L", "Femur_Head_R"]


def test_a_threshold_moves_the_surface(flat_predictor, make_grid):
    grid = make_grid((6, 48, 64), (3.0, 2.0, 2.0))
    hu = np.broadcast_to(np.linspace(500, 700, 64).astype(np.int16), grid.shape_zyx).copy()
    edges = {}
    for threshold in (0.1, 0.5, 0.9):
        found = flat_predictor(thresholds={"Sacrum": threshold}).segment(CtVolume(hu, grid), ["Sacrum"])
        edges[threshold] = hu[found.structures["Sacrum"].mask(hu.shape)].min()
    # logit((HU/500 - 1.2) * 50) reaches log(t / (1 - t)) at 600 + 10 log(t / (1 - t)) HU
    for threshold, hu_there in ((0.1, 578.0), (0.5, 600.0), (0.9, 622.0)):
        assert hu_there <= edges[threshold] <= hu_there + 4


def test_a_network_of_the_wrong_dimensions_is_refused(network_bundle):
    card = network_bundle()
    flat = dataclasses.replace(card, input=dataclasses.replace(card.input, patch_zyx=(1, 8, 8)))
    with pytest.raises(BundleError, match="two or three dimensions"):
        load(flat, "cpu")
