"""Sigmoid thresholds chosen on validation cases (Huang 2023: the one with the best volumetric Dice).

The paper does not say on which cases it chose; on its test cases the choice would flatter the figures. Here
the validation cases decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from models.metrics import dice
from models.training.samples.data_lessons import DataLessons


def chosen_thresholds(
    lessons: DataLessons, network: nn.Module, outputs: Sequence[str], candidates: Sequence[float]
) -> dict[str, float]:
    """For each output the candidate with the best mean DSC over the validation cases where it is known.

    Of equals the one nearest to 0.5 is taken; an output that is known in no validation case gets 0.5.
    """
    scores: dict[str, dict[float, list[float]]] = {name: {t: [] for t in candidates} for name in outputs}
    for case in lessons.validation_cases():
        found = lessons.probabilities(network, case)
        for s, name in enumerate(outputs):
            if not case.known[s]:
                continue
            truth = case.mask(s)
            for threshold, values in scores[name].items():
                said = torch.gt(found[s], threshold).cpu().numpy()
                values.append(dice(said, truth))
    return {name: best_candidate(scores[name]) for name in outputs}


def best_candidate(scores: dict[float, list[float]]) -> float:
    """The key with the highest mean value; of equals the one nearest to 0.5."""
    means = {threshold: float(np.mean(values)) for threshold, values in scores.items() if values}
    if not means:
        return 0.5
    return max(means, key=lambda threshold: (means[threshold], -abs(threshold - 0.5)))
