"""Every network, narrow and briefly trained, served from one YAML: one CT in, a structure set from each out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from briefly_trained import phantom_ct, recipe_of, structures_of, train_all
from numpy.typing import NDArray
from running_node import ReceivingTps, running_node, send_ct

from models.cards.card import Card, read_card
from models.networks import NETWORKS
from service.contouring.ct_series import CtSeries
from service.dicom.ct_writer import write_ct
from service.dicom.structure_set_reader import read_masks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # a busy machine takes its time to train

NEVER_TRAINED = 900_003
"""Seed of the phantom that is sent."""

FLOOR_DSC = 0.3
"""Of the structure that a network draws best. A network that calls the whole body a structure has below 0.15."""

Masks = dict[str, NDArray[np.bool_]]


@dataclass
class Answers:
    """What came of each network.

    Attributes:
        failed: what training said, of networks that could not be trained.
        cards: of the bundles.
        sets: structure sets by the model and version that they name.
        masks: what the contours of each enclose on the CT's grid.
        truth: of the phantom, its body included.
    """

    failed: Mapping[str, str]
    cards: Mapping[str, Card]
    sets: Mapping[str, pydicom.Dataset]
    masks: Mapping[str, Masks]
    truth: Masks


def config_of(cards: Mapping[str, Card], port: int) -> dict[str, object]:
    """A protocol and a route for each bundle."""
    return {
        "node": {
            "quiet_seconds": 0.5,
            "sets_per_study_and_day": len(cards),
            "bundles": [str(card.folder) for card in cards.values()],
        },
        "senders": {"CTSCANNER": None},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": port}},
        "protocols": {
            network: {"model": card.reference, "allow_unvalidated": True} for network, card in cards.items()
        },
        "routes": [
            {
                "name": network,
                "when": {"Modality": "CT"},
                "contour": network,
                "send_to": ["tps"],
                "mode": "send",
            }
            for network in cards
        ],
    }


def dsc(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def made_by(structure_set: pydicom.Dataset) -> str:
    """Model and version, as the structure set names its second software version."""
    return str(structure_set.SoftwareVersions[1])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder: Path = tmp_path_factory.mktemp("networks")
    said = train_all(folder / "trained")
    failed = {network: text for network, text in said.items() if text}
    cards = {
        network: read_card(folder / "trained" / network / "bundle" / "card.yaml")
        for network in NETWORKS
        if network not in failed
    }
    sample = phantom_ct(NEVER_TRAINED)
    files = write_ct(folder / "ct", sample.hu, sample.grid)
    series = CtSeries.read(files)
    slices = [(each.sop_instance_uid, each.frame_number) for each in series.references]
    tps = ReceivingTps()
    try:
        # Threads that wait for one another in a busy loop take minutes where others are at work too.
        with running_node(folder, config_of(cards, tps.port)) as node:
            assert set(send_ct(files, node.port)) == {0}
            with suppress(TimeoutError):  # the test of the network whose set is missing says so
                tps.wait_for(len(cards), 300)
            found = tps.structure_sets()
    finally:
        tps.close()
    return Answers(
        failed,
        cards,
        {made_by(each): each for each in found},
        {made_by(each): read_masks(tps.received[each.SOPInstanceUID], series.grid, slices) for each in found},
        {**sample.known(), "body": sample.hu > -300},
    )


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_that_learned_on_phantoms_contours_one_that_it_never_saw(
    network: str, answers: Answers
) -> None:
    assert network not in answers.failed, answers.failed[network]
    card = answers.cards[network]
    model = f"{card.name} {card.version}"
    assert model in answers.sets, f"no structure set says that {model} made it"
    structure_set = answers.sets[model]

    assert card.name == recipe_of(network)
    assert card.network.name == network
    assert structure_set.ApprovalStatus == "UNAPPROVED"
    assert "NOT FOR CLINICAL USE" in structure_set.StructureSetName

    learned = structures_of(network)
    named = [str(roi.ROIName) for roi in structure_set.StructureSetROISequence]
    assert set(named) <= set(learned)
    masks = answers.masks[model]
    assert set(masks) == set(named)  # each encloses something
    scores = {name: dsc(masks[name], answers.truth[name]) for name in masks}
    assert max(scores.values(), default=0) > FLOOR_DSC, scores
    targets = {name for name in learned if name.startswith("CTV")}
    assert targets <= set(named)
    assert bool(targets) is (NETWORKS[network].paper != "liu-z-2020")
    assert all(2 * dsc(answers.truth["body"], answers.truth[name]) < FLOOR_DSC for name in learned)
