"""Mean and standard deviation of CT numbers over training cases, for channels that ask for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.cards.input_card import Channel
from models.preprocess import HU_RANGE
from models.training.recipes.recipe import ChannelRecipe, Recipe
from models.training.refusals import TrainingRefused
from models.training.samples.prepared_cases import PreparedCases

_NUMBERS: Final = np.arange(HU_RANGE[0], HU_RANGE[1] + 1)


def channels_of(recipe: Recipe, cases: PreparedCases, names: Iterable[str]) -> tuple[Channel, ...]:
    """The recipe's channels with ``mean`` and ``std`` replaced by numbers.

    They are those of the CT numbers, clipped as the channel says, of all voxels that the network looks at
    (`models.view_box`) in the cases ``names`` together: each voxel counts once, whatever case it is of. Liu
    Z. 2020 and Liu X. 2024 do not say whether air around the patient counts; what the network never sees does
    not.

    Raises:
        TrainingRefused: ``recipe.channel-constant``, all voxels have one number within the channel's clip.
    """
    if not any(one.subtract_hu == "mean" or one.divide_hu == "std" for one in recipe.input.channels):
        return tuple(_channel(one, 0.0, 1.0) for one in recipe.input.channels)
    total = np.zeros(len(_NUMBERS), np.int64)
    for name in names:
        total += cases.get(name).histogram
    return tuple(_channel(one, *mean_and_std(total, one.clip_hu)) for one in recipe.input.channels)


def mean_and_std(histogram: NDArray[np.int64], clip_hu: tuple[float, float]) -> tuple[float, float]:
    """Of clipped CT numbers, from how often each number from -1024 on occurs."""
    clipped = np.clip(_NUMBERS, *clip_hu)
    shares = histogram / histogram.sum()
    mean = float(shares @ clipped)
    return mean, float(np.sqrt(shares @ (clipped - mean) ** 2))


def _channel(recipe: ChannelRecipe, mean: float, std: float) -> Channel:
    subtract = mean if recipe.subtract_hu == "mean" else recipe.subtract_hu
    divide = std if recipe.divide_hu == "std" else recipe.divide_hu
    if divide == 0:
        sentence = (
            f"Every voxel of the training cases has the same CT number between {recipe.clip_hu[0]:g} and "
            f"{recipe.clip_hu[1]:g} HU; choose another clip_hu for that channel."
        )
        raise TrainingRefused("recipe.channel-constant", sentence)
    return Channel(recipe.clip_hu, float(subtract), float(divide))
