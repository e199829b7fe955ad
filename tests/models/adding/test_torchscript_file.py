import hashlib
import io
import warnings

import numpy as np
import pytest
import torch
import yaml

from models.adding.inspection import add
from models.adding.new_bundle import Wish, read_small_card
from models.cards.card import BundleError
from models.cards.catalog import find_bundle
from models.predictor import load
from models.volume import CtVolume

pytestmark = pytest.mark.runtimes

CARD = {
    "version": "3.1",
    "outputs": ["background", "bone", "left_half"],
    "input": {
        "spacing_zyx_mm": [3.0, 2.0, 2.0],
        "patch_zyx": [16, 24, 32],
        "overlap": 0.5,
        "padding_hu": -1000,
        "channels": [{"clip_hu": [-1000, 1000], "subtract_hu": 0, "divide_hu": 1000}],
    },
}
LABELS = {"bone": "Bone_Pelvic_L", "left_half": None}


class BoneAndRamp(torch.nn.Module):
    """Dense voxels are bone; the third output grows along the last axis of what it is shown."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(-1.0, 1.0, x.shape[4]).expand_as(x)
        return torch.cat([torch.zeros_like(x), 20.0 * (x - 0.5), 0.4 * ramp], dim=1)


class WantsZyx(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, :, :, :1]


def archive(module):
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), content)
    return content.getvalue()


@pytest.fixture
def wish(tmp_path):
    def make(module=None, labels=LABELS, **card):
        (tmp_path / "came.ts").write_bytes(archive(BoneAndRamp()) if module is None else module)
        (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(CARD | card))
        small = read_small_card(tmp_path / "small.yaml")
        trusted = []
        made = Wish(
            tmp_path / "came.ts",
            tmp_path / "models" / "bones",
            tmp_path / "labels.yaml",
            small,
            False,
            trusted.append,
        )
        (tmp_path / "models").mkdir(exist_ok=True)
        return made

    return make


def test_a_torchscript_file_becomes_a_bundle_that_segments(wish, make_slab, make_grid):
    card = add(wish())
    assert card.reference == "bones@3.1"
    assert list(card.structures) == ["Bone_Pelvic_L"]
    assert card.outputs == ("background", "Bone_Pelvic_L", "left_half")
    assert not card.validated
    assert card.weights.sha256 == hashlib.sha256((card.folder / "network.ts").read_bytes()).hexdigest()
    slab = make_slab(make_grid((12, 60, 80)))
    slab.paint(slab.ellipse((0, 0), (50, 70)), 40, True)
    slab.paint(slab.ellipse((0, 20), (16, 12)), 1000, True)
    volume, _ = slab.volume()
    found = load(find_bundle("bones@3.1", [card.folder.parent]), "cpu").segment(volume)
    truth = np.asarray(volume.hu) > 500
    mask = found.structures["Bone_Pelvic_L"].mask(volume.hu.shape)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.99
    assert found.provenance.runtime == f"torchscript on torch {torch.__version__}"
    assert found.provenance.sha256 == card.weights.sha256


@pytest.mark.parametrize(("axes", "is_left"), [("SPL", True), ("SPR", False), ("SAR", False), ("SAL", True)])
def test_a_network_is_shown_tiles_along_its_own_axes(wish, make_grid, axes, is_left):
    """The ramp grows to where the last axis runs; our arrays run to the left."""
    card = add(wish(labels={"bone": None, "left_half": "Lung_L"}, network={"axes": axes}))
    volume = CtVolume(np.zeros((16, 24, 32), np.int16), make_grid((16, 24, 32)))
    mask = load(card, "cpu").segment(volume).structures["Lung_L"].mask(volume.hu.shape)
    assert mask.sum() == mask.size // 2
    assert bool(mask[:, :, 16:].all()) is is_left


def test_axes_that_are_not_the_last_are_turned_back(wish, make_grid):
    """Shown x first: the ramp over the last axis, which is z here, grows to the head."""
    card = add(wish(labels={"bone": None, "left_half": "Lung_L"}, network={"axes": "RAS"}))
    volume = CtVolume(np.zeros((16, 24, 32), np.int16), make_grid((16, 24, 32)))
    mask = load(card, "cpu").segment(volume).structures["Lung_L"].mask(volume.hu.shape)
    assert mask[8:].all()
    assert not mask[:8].any()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"labels": {"bone": "Bone_Pelvic_L"}}, "add.labels-unmapped"),
        ({"labels": LABELS | {"liver": "Liver"}}, "add.labels-invalid"),
        ({"labels": {"bone": "A name with blanks", "left_half": None}}, "add.labels-invalid"),
        ({"labels": {"bone": "Lung_L", "left_half": "Lung_L"}}, "add.labels-invalid"),
        ({"labels": {"bone": "Bones", "left_half": "Lung_R"}}, "add.labels-invalid"),
        ({"labels": {"bone": {"name": "Lung_L", "colour": "red"}, "left_half": None}}, "add.labels-invalid"),
        ({"network": {"axes": "SSL"}}, "model.card-invalid"),
        ({"module": b"no archive"}, "model.weights-do-not-fit"),
        (
            {"outputs": ["background", "bone", "left_half", "more"], "labels": LABELS | {"more": None}},
            "model.answer-invalid",
        ),
        ({"colour": "red"}, "model.card-invalid"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(wish, changes, code):
    wished = wish(**changes)
    with pytest.raises(BundleError) as refusal:
        add(wished)
    assert refusal.value.code == code
    assert list(wished.folder.parent.iterdir()) == []


def test_the_labels_without_a_name_are_listed(wish):
    with pytest.raises(BundleError, match="bone, left_half"):
        add(wish(labels={}))


def test_an_answer_of_another_size_is_refused_by_name(wish):
    with pytest.raises(BundleError) as refusal:
        add(wish(module=archive(WantsZyx())))
    assert refusal.value.code == "model.answer-invalid"


def test_a_file_changed_after_it_was_added_is_refused(wish):
    card = add(wish())
    file = card.folder / "network.ts"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(BundleError) as refusal:
        load(card, "cpu")
    assert refusal.value.code == "model.hash-mismatch"
