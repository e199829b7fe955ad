import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cases import case_of, data_of, recipe_for

from models.cards.input_card import Channel
from models.training.refusals import TrainingRefused
from models.training.samples.normalisation import channels_of, mean_and_std
from models.training.samples.prepared_cases import PreparedCases


def channels_from(tmp_path, volumes, *channels):
    cases = [case_of(i, {"Bladder": np.zeros(hu.shape, bool)}, hu) for i, hu in enumerate(volumes, start=1)]
    recipe = recipe_for(["Bladder"], (1, 2, 2), input={"channels": list(channels)})
    prepared = PreparedCases(data_of(tmp_path / "data", cases), recipe, tmp_path / "prepared")
    return channels_of(recipe, prepared, [case.name for case in cases])


def of_numbers(*hu):
    return np.array(hu, np.int16).reshape(1, 2, -1)


def test_mean_and_std_of_two_cases_by_hand(tmp_path):
    """0 0 4 4 and eight of 10: clipped at 8, the mean is 72 / 12 and the variance (2 * 36 + 2 * 4 + 8 * 4) / 12."""
    found = channels_from(
        tmp_path,
        [of_numbers(0, 0, 4, 4), of_numbers(*[10] * 8)],
        {"clip_hu": [-100, 8], "subtract_hu": "mean", "divide_hu": "std"},
    )
    assert found == (Channel((-100, 8), pytest.approx(6), pytest.approx((112 / 12) ** 0.5)),)


def test_numbers_that_the_recipe_gives_stay_and_each_channel_has_its_own_clip(tmp_path):
    found = channels_from(
        tmp_path,
        [of_numbers(0, 0, 4, 4)],
        {"clip_hu": [-800, 800], "divide_hu": 800},
        {"clip_hu": [0, 2], "subtract_hu": "mean", "divide_hu": 5},
    )
    assert found == (Channel((-800, 800), 0, 800), Channel((0, 2), pytest.approx(1), 5))


def test_only_what_the_network_looks_at_counts(tmp_path):
    """A body of 10 x 10 in a plane of air 80 x 80: the box is the body and a rim of 20 mm, that is 10 voxels."""
    hu = np.full((1, 80, 80), -1000, np.int16)
    hu[:, 30:40, 40:50] = 500
    found = channels_from(tmp_path, [hu], {"clip_hu": [-1000, 500], "subtract_hu": "mean"})
    assert found[0].subtract_hu == pytest.approx(-1000 + 1500 * 100 / 900)


def test_a_channel_in_which_everything_is_alike_is_refused(tmp_path):
    with pytest.raises(TrainingRefused, match="between 100 and 200 HU") as refused:
        channels_from(tmp_path, [of_numbers(0, 1, 2, 3)], {"clip_hu": [100, 200], "divide_hu": "std"})
    assert refused.value.code == "recipe.channel-constant"


@given(
    st.lists(st.integers(-1024, 3071), min_size=1, max_size=30), st.integers(-900, 0), st.integers(1, 3000)
)
def test_from_a_histogram_they_are_those_of_the_values(values, low, high):
    histogram = np.bincount(np.array(values) + 1024, minlength=4096)
    clipped = np.clip(values, low, high)
    assert mean_and_std(histogram, (low, high)) == pytest.approx((clipped.mean(), clipped.std()), abs=1e-6)
