"""Bundles made by MONAI's own tools; its own pipeline says what the answer is."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from artefact_volume import phantom_volume
from peers.made_once import made_once

from models.adding.inspection import add
from models.adding.new_bundle import Wish
from models.cards.card import BundleError, read_card
from models.cards.monai_card import Spacing
from models.predictor import Predictor
from models.volume import CtVolume

pytestmark = [pytest.mark.runtimes, pytest.mark.timeout(1800)]  # MONAI trains on a machine that may be busy

LABELS = {"urinary_bladder": "Bladder", "femur_left": "Femur_Head_L"}


@pytest.fixture(scope="module")
def bundles():
    """The folder with all bundles, what MONAI says of a new phantom beside each."""
    return made_once("monai_artefact")


@pytest.fixture
def wish(tmp_path, bundles):
    """A wish for a bundle, whose configuration ``change`` may change before."""

    def make(name, labels=LABELS, change=None, card=None, trust=False, told=None):
        path = bundles / name
        if change is not None:
            path = tmp_path / "came"
            shutil.copytree(bundles / name, path)
            file = path / "configs" / "inference.json"
            content = json.loads(file.read_text())
            metadata = json.loads((path / "configs" / "metadata.json").read_text())
            change(content, metadata)
            file.write_text(json.dumps(content))
            (path / "configs" / "metadata.json").write_text(json.dumps(metadata))
        (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
        (tmp_path / "models").mkdir(exist_ok=True)
        hears = [].append if told is None else told.append
        return Wish(path, tmp_path / "models" / "added", tmp_path / "labels.yaml", card or {}, trust, hears)

    return make


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def masks_of(card, volume):
    segmentation = Predictor(card, "cpu").segment(volume)
    masks = {name: field.mask(volume.hu.shape) for name, field in segmentation.structures.items()}
    return masks, segmentation.provenance


@pytest.mark.parametrize("name", ["plain", "exported", "apart"])
def test_our_engine_says_what_monais_pipeline_says(wish, bundles, name):
    labels = LABELS | {"surroundings": None} if name == "apart" else LABELS
    card = add(wish(name, labels))
    masks, provenance = masks_of(card, phantom_volume())
    with np.load(bundles / f"{name}.npz") as beside:
        said = beside["said"]
    for number, structure in enumerate(LABELS.values(), 1):
        truth = said[number] > 0 if name == "apart" else said[0] == number
        assert truth.any()
        assert dsc(masks[structure], truth) >= 0.999
    made_by = "torchscript of monai on torch " if name == "exported" else "monai 1."
    assert provenance.runtime.startswith(made_by)
    assert provenance.sha256 == card.weights.sha256


def test_the_card_says_what_the_bundle_says_of_itself(wish):
    card = add(wish("plain"))
    assert card.reference == "added@0.3.1"
    assert card.licence == "CC-BY-4.0; Copyright (c) the makers of the phantoms"
    assert card.summary == "Bladder and femur of phantoms"
    assert card.outputs == ("background", "Bladder", "Femur_Head_L")
    assert card.monai.steps[1] == Spacing("spacing", (2.5, 2.3, 3.5))
    assert card.monai.window.roi == (32, 32, 32)
    assert card.monai.network.name == "UNet"
    assert card.monai.network.arguments["strides"] == [2, 2]
    assert sorted(file.name for file in card.folder.iterdir()) == ["card.yaml", "weights.safetensors"]
    assert read_card(card.folder / "card.yaml") == card


def test_a_torchscript_export_needs_no_monai(wish):
    """In an interpreter in which MONAI cannot be imported."""
    card = add(wish("exported"))
    assert card.structures["Bladder"].postprocess.largest_component
    code = (
        "import sys; sys.modules['monai'] = None\n"
        "from pathlib import Path\nfrom models.cards.card import read_card\nfrom models.predictor import Predictor\n"
        f"print(sorted(Predictor(read_card(Path({str(card.folder / 'card.yaml')!r})), 'cpu').card.structures))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout.strip() == "['Bladder', 'Femur_Head_L']"


def test_a_network_that_monai_builds_says_which_extra_is_missing(wish, monkeypatch):
    card = add(wish("plain"))
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(BundleError, match=r"pip install delineate\[monai\]") as refusal:
        Predictor(card, "cpu")
    assert refusal.value.code == "model.extra-missing"


def test_a_ct_that_lies_another_way_round_is_seen_as_the_same_patient(wish):
    """Without resampling, so that the first voxel of the array does not matter: equal but for rounding."""
    card = add(wish("apart", LABELS | {"surroundings": None}))
    volume = phantom_volume()
    grid = volume.grid
    corner = (grid.columns - 1) * grid.column_step_lps_mm + (grid.rows - 1) * grid.row_step_lps_mm
    turned = replace(
        grid,
        slice_origins_lps_mm=grid.slice_origins_lps_mm + corner,
        column_step_lps_mm=-grid.column_step_lps_mm,
        row_step_lps_mm=-grid.row_step_lps_mm,
    )
    found, _ = masks_of(card, CtVolume(np.ascontiguousarray(volume.hu[:, ::-1, ::-1]), turned))
    there, _ = masks_of(card, volume)
    for name, mask in there.items():
        assert np.array_equal(found[name][:, ::-1, ::-1], mask)


def appended(section, transform):
    return lambda content, _metadata: content[section]["transforms"].append(transform)


REFUSED = [
    (appended("preprocessing", {"_target_": "RandFlipd", "keys": "image"}), "add.transform-unknown", "RandFlipd"),
    (appended("preprocessing", {"_target_": "Spacingd", "keys": "image", "pixdim": [1, 1, 1], "mode": 3}),
     "add.transform-unknown", "Spacingd asks for mode: 3"),
    (appended("preprocessing", {"_target_": "CropForegroundd", "keys": "image", "source_key": "image",
     "select_fn": "$lambda x: x > 3"}), "add.needs-trust", "lambda"),
    (appended("preprocessing", {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 4}),
     "add.transform-unknown", "margin: 4"),
    (appended("preprocessing", {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "new": 1}),
     "add.transform-unknown", "Orientationd asks for new"),
    (appended("preprocessing", {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS",
     "labels": [["R", "L"], ["P", "A"], ["I", "S"]]}), "add.transform-unknown", "Orientationd asks for labels"),
    (appended("preprocessing", {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float16"}),
     "add.transform-unknown", "EnsureTyped asks for dtype: 'float16'"),
    (appended("postprocessing", {"_target_": "FillHolesd", "keys": "pred"}), "add.transform-unknown", "FillHolesd"),
    (lambda content, _: content["postprocessing"]["transforms"].pop(1), "add.bundle-unsupported", "Invertd"),
    (lambda content, _: content["preprocessing"]["transforms"].pop(2), "add.card-incomplete", "axes"),
    (lambda content, _: content["inferer"].update(_target_="SliceInferer"), "add.bundle-unsupported", "SliceInferer"),
    (lambda content, _: content["network_def"].update(_target_="scripts.net.Own"), "add.network-unknown", "Own"),
    (lambda content, _: content["network_def"].update(act={"_target_": "torch.nn.ReLU"}), "add.network-unknown",
     "more than numbers"),
    (lambda content, _: content["network_def"].update(channels="$[8, 16] + [16]"), "add.needs-trust", "channels"),
    (lambda content, _: content["network_def"].update(channels=[8, 16, 32]), "model.weights-do-not-fit", "weights"),
    (lambda content, _: content.update(pixdim="@pixdim"), "add.bundle-unreadable", "circles"),
    (lambda _, said: said["network_data_format"]["inputs"]["image"].update(num_channels=2),
     "add.bundle-unsupported", "one channel"),
    (lambda _, said: said["network_data_format"]["inputs"]["image"].update(modality="MR"),
     "add.bundle-unsupported", "MR"),
    (lambda _, said: said["network_data_format"]["outputs"]["pred"]["channel_def"].pop("1"),
     "add.bundle-unreadable", "channel_def"),
    (lambda _, said: said.pop("network_data_format"), "add.bundle-unreadable", "network_data_format"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "said"), REFUSED)
def test_what_a_bundle_asks_for_and_is_not_done_is_named(wish, change, code, said):
    wished = wish("plain", change=change)
    with pytest.raises(BundleError, match=said) as refusal:
        add(wished)
    assert refusal.value.code == code
    assert list(wished.folder.parent.iterdir()) == []


def test_python_in_a_configuration_is_run_on_trust_only_and_that_is_told(wish):
    told = []

    def change(content, _metadata):
        content["network_def"]["channels"] = "$[8, 16] + [16]"

    card = add(wish("plain", change=change, trust=True, told=told))
    assert card.monai.network.arguments["channels"] == [8, 16, 16]
    assert told == ["expression-run"]


def test_without_orientation_a_person_says_the_axes(wish, bundles):
    """The phantom lies as LPS; what is trained along RAS axes is then shown it turned, as Orientationd would."""
    card = add(
        wish("plain", change=lambda content, _: content["preprocessing"]["transforms"].pop(2),
             card={"network": {"axes": "RAS"}})
    )  # fmt: skip
    masks, _ = masks_of(card, phantom_volume())
    with np.load(bundles / "plain.npz") as beside:
        assert dsc(masks["Bladder"], beside["said"][0] == 1) >= 0.999


def test_a_card_in_which_arguments_would_be_run_is_refused(wish):
    card = add(wish("plain"))
    network = replace(card.monai.network, arguments={**card.monai.network.arguments, "act": "$print('run')"})
    with pytest.raises(BundleError) as refusal:
        Predictor(replace(card, monai=replace(card.monai, network=network)), "cpu")
    assert refusal.value.code == "model.card-invalid"


def test_a_state_within_a_checkpoint_of_training_is_found(wish, tmp_path):
    wished = wish("plain", change=lambda content, metadata: None)
    file = wished.path / "models" / "model.pt"
    torch.save({"model": torch.load(file, weights_only=True), "epoch": 3}, file)
    assert add(wished).weights.parameters > 0


def test_a_configuration_in_yaml_says_the_same(wish):
    wished = wish("plain", change=lambda content, metadata: None)
    file = wished.path / "configs" / "inference.json"
    file.with_suffix(".yaml").write_text(yaml.safe_dump(json.loads(file.read_text())))
    file.unlink()
    assert add(wished).monai == add(replace(wish("plain"), folder=wished.folder.parent / "json")).monai
