"""A results folder made by nnU-Net's own commands; its own predictor says what the answer is."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from importlib.util import find_spec

import nnunet_artefact
import nnunet_fallback
import numpy as np
import pytest
import torch
from artefact_volume import phantom_volume
from peers.make_environment import complete, python

from models.adding.inspection import add, place_of
from models.adding.new_bundle import Wish
from models.cards.card import BundleError, read_card
from models.predictor import Predictor
from models.volume import CtVolume, OutsideTrainedRegion

pytestmark = [pytest.mark.runtimes, pytest.mark.timeout(1800)]  # nnU-Net trains on a machine that may be busy

PLAIN = "BriefTrainer__nnUNetPlans__3d_fullres"
RESIDUAL = "BriefTrainer__nnUNetResEncUNetMPlans__3d_fullres"
LABELS = "urinary_bladder: Bladder\nfemur_left: Femur_Head_L\n"


def made_by_nnunet(folder, *what):
    """Where nnU-Net's commands have put their results."""
    if not complete("torch"):
        pytest.skip(
            "the environment .peers/torch with nnU-Net is not here; tests/peers/make_environment.py makes it"
        )
    command = [str(python("torch")), nnunet_artefact.__file__, str(folder / "made"), *what]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=1200)
    return folder / "made" / "nnUNet_results"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results folder of the data set, what nnU-Net's predictor says of a new phantom beside each model."""
    return made_by_nnunet(tmp_path_factory.mktemp("nnunet")) / "Dataset001_Phantom"


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    """A model of regions in two dimensions, what nnU-Net's predictor says beside it."""
    made = made_by_nnunet(tmp_path_factory.mktemp("regions"), "regions")
    return made / "Dataset002_Regions" / "BriefTrainer__nnUNetPlans__2d"


@pytest.fixture
def wish(tmp_path, results):
    def make(name, labels=LABELS, trust=False, told=None, path=None):
        (tmp_path / "labels.yaml").write_text(labels)
        (tmp_path / "models").mkdir(exist_ok=True)
        told = [].append if told is None else told.append
        folder = tmp_path / "models" / "added"
        return Wish(path or results / name, folder, tmp_path / "labels.yaml", {}, trust, told)

    return make


def labels_of(card, volume):
    found = np.zeros(volume.hu.shape, np.uint8)
    segmentation = Predictor(card, "cpu").segment(volume)
    for number, name in enumerate(("Bladder", "Femur_Head_L"), 1):
        if name in segmentation.structures:
            found[segmentation.structures[name].mask(volume.hu.shape)] = number
    return found, segmentation


def unmirrored(card):
    """An eighth of the tiles."""
    return replace(card, nnunet=replace(card.nnunet, mirror_axes=()))


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(("name", "mirroring"), [(PLAIN, True), (PLAIN, False), (RESIDUAL, False)])
def test_our_engine_says_what_nnunets_predictor_says(wish, results, name, mirroring):
    card = add(wish(name))
    assert card.nnunet.mirror_axes == (0, 1, 2)
    assert card.nnunet.folds == (2 if name == PLAIN else 1)
    if not mirroring:
        card = unmirrored(card)
    found, segmentation = labels_of(card, phantom_volume())
    with np.load(results / f"{name}.npz") as said:
        truth = said["mirrored" if mirroring else "plain"]
    assert (truth > 0).any()
    for number in np.unique(truth[truth > 0]):
        assert dsc(found == number, truth == number) >= 0.999
    assert segmentation.provenance.runtime.startswith("nnunet plan on torch ")
    assert segmentation.provenance.sha256 == card.weights.sha256


def test_a_ct_that_lies_another_way_round_is_seen_as_the_same_patient(wish):
    card = unmirrored(add(wish(PLAIN)))
    volume = phantom_volume()
    turned_grid = replace(
        volume.grid,
        slice_origins_lps_mm=volume.grid.slice_origins_lps_mm
        + (volume.grid.columns - 1) * volume.grid.column_step_lps_mm
        + (volume.grid.rows - 1) * volume.grid.row_step_lps_mm,
        column_step_lps_mm=-volume.grid.column_step_lps_mm,
        row_step_lps_mm=-volume.grid.row_step_lps_mm,
    )
    turned = CtVolume(np.ascontiguousarray(volume.hu[:, ::-1, ::-1]), turned_grid)
    assert np.array_equal(labels_of(card, turned)[0][:, ::-1, ::-1], labels_of(card, volume)[0])


def test_slices_that_are_not_even_are_refused(wish):
    card = add(wish(RESIDUAL))
    volume = phantom_volume()
    origins = volume.grid.slice_origins_lps_mm.copy()
    origins[20:, 2] += 1
    with pytest.raises(OutsideTrainedRegion) as refusal:
        Predictor(card, "cpu").segment(
            CtVolume(volume.hu, replace(volume.grid, slice_origins_lps_mm=origins))
        )
    assert refusal.value.code == "model.uneven-slices"


def test_an_installed_task_of_totalsegmentator_is_added_and_says_what_was_not_run(
    wish, results, tmp_path, monkeypatch
):
    monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(tmp_path))
    task = tmp_path / "Dataset291_TotalSegmentator_part1_organs_1559subj"
    shutil.copytree(results / RESIDUAL, task / "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres")
    card = add(wish(None, labels="femur_left: Femur_Head_L\n", path=place_of("totalsegmentator:291")))
    assert list(card.structures) == ["Bladder", "Femur_Head_L"]
    assert "the weights that TotalSegmentator publishes were not run" in " ".join(card.limits)
    assert labels_of(unmirrored(card), phantom_volume())[0].any()


def test_a_plan_of_regions_in_two_dimensions_is_run_by_nnunets_own_predictor(regions, tmp_path):
    """Where nnU-Net is installed; labels of regions overlap. DSC is 1: it is nnU-Net's own answer."""
    (tmp_path / "labels.yaml").write_text("both: Bladder\nfemur_left: Femur_Head_L\n")
    places = [regions, tmp_path / "added", tmp_path / "labels.yaml", tmp_path / "found.npz"]
    command = [str(python("torch")), nnunet_fallback.__file__, *map(str, places)]
    subprocess.run(command, check=True, timeout=1200, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    card = read_card(tmp_path / "added" / "card.yaml")
    assert (card.kind, card.activation) == ("nnunet-predictor", "sigmoid")
    with np.load(tmp_path / "found.npz") as found, np.load(regions.parent / f"{regions.name}.npz") as said:
        for name, numbers in (("Bladder", (1, 2)), ("Femur_Head_L", (2,))):
            truth = np.isin(said["mirrored"], numbers)
            assert truth.any()
            assert np.array_equal(found[name], truth)
        about = json.loads(str(found["about"]))
    assert about["runtime"].startswith("nnunetv2 2.8.1 on torch ")
    assert about["sha256"] == card.weights.sha256


def test_the_bundle_of_such_a_plan_names_the_extra_where_it_is_not_installed(regions, tmp_path):
    (tmp_path / "labels.yaml").write_text("both: Bladder\nfemur_left: Femur_Head_L\n")
    with pytest.raises(BundleError, match=r"regions.*pip install delineate\[nnunet\]") as refusal:
        add(Wish(regions, tmp_path / "added", tmp_path / "labels.yaml", {}, False, print))
    assert refusal.value.code == "add.plan-unsupported"


class Foreign:
    """Stands for a class that a checkpoint was pickled with."""


def test_a_checkpoint_that_names_other_objects_needs_trust_and_that_is_told(wish, results, tmp_path):
    came = tmp_path / "came"
    shutil.copytree(results / RESIDUAL, came)
    file = came / "fold_0" / "checkpoint_final.pth"
    content = torch.load(file, weights_only=False)
    torch.save(content | {"extra": Foreign()}, file)
    with pytest.raises(BundleError) as refusal:
        add(wish(None, path=came))
    assert refusal.value.code == "add.needs-trust"
    told = []
    assert add(wish(None, path=came, trust=True, told=told)).kind == "nnunet"
    assert told == ["checkpoint-unpickled"]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (
            lambda plans, data: data["channel_names"].update({"1": "PET"}),
            "add.plan-unsupported",
            "other input",
        ),
        (lambda plans, data: data["labels"].update({"both": [1, 2]}), "add.plan-unsupported", "regions"),
        (
            lambda plans, data: plans["configurations"]["3d_fullres"].update(previous_stage="3d_lowres"),
            "add.plan-unsupported",
            "cascade",
        ),
        (lambda plans, data: plans.update(image_reader_writer="Rgb"), "add.plan-unsupported", "axes"),
        (lambda plans, data: plans.pop("transpose_forward"), "add.plan-unreadable", "transpose_forward"),
        (
            lambda plans, data: plans["configurations"]["3d_fullres"]["architecture"].update(
                network_class_name="some.Transformer"
            ),
            "add.plan-unsupported",
            "Transformer",
        ),
        (
            lambda plans, data: plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(
                features_per_stage=[8, 12, 20]
            ),
            "model.weights-do-not-fit",
            "plan",
        ),
    ],
)
def test_a_plan_that_is_not_run_here_is_refused_by_what_it_asks_for(
    wish, results, tmp_path, change, code, said
):
    came = tmp_path / "came"
    shutil.copytree(results / RESIDUAL, came)
    plans, data = (json.loads((came / f"{name}.json").read_text()) for name in ("plans", "dataset"))
    change(plans, data)
    (came / "plans.json").write_text(json.dumps(plans))
    (came / "dataset.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match=said) as refusal:
        add(wish(None, path=came))
    assert refusal.value.code == code


def test_nothing_of_nnunet_is_needed_to_run_it(wish):
    card = add(wish(PLAIN))
    assert read_card(card.folder / "card.yaml") == card
    assert find_spec("nnunetv2") is None
    assert sorted(file.name for file in card.folder.iterdir()) == ["card.yaml", "weights.safetensors"]
