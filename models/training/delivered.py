"""What a new bundle would deliver on cases of a data set: DSC on the CT's own grid, all steps included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.card import Card
from models.metrics import dice
from models.predictor import OutputNotFinite, load
from models.training.data_set import DataSet
from models.volume import OutsideTrainedRegion


def delivered_dsc(
    card: Card, data: DataSet, names: Sequence[str], device: str
) -> tuple[Mapping[str, float], int]:
    """Mean DSC of each structure, and how many of the cases the model refused.

    A structure counts in the cases where it is known; not delivered where it is drawn is 0, neither drawn nor
    delivered is 1. Cases that the model refuses count as having delivered nothing.
    """
    predictor = load(card, device)
    found: dict[str, list[float]] = {name: [] for name in card.structures}
    refused = 0
    for name in names:
        case = data.read(name)
        shape = case.volume.grid.shape_zyx
        try:
            structures = predictor.segment(case.volume).structures
        except (OutsideTrainedRegion, OutputNotFinite):
            structures, refused = {}, refused + 1
        for structure, scores in found.items():
            if structure in case.masks:
                empty = np.zeros(shape, bool)
                said = structures[structure].mask(shape) if structure in structures else empty
                scores.append(dice(said, case.masks[structure]))
    return {name: float(np.mean(scores)) for name, scores in found.items() if scores}, refused
