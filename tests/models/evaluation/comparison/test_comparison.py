"""What was measured beside what was printed; the cases are those of ``evaluation_cases``."""

import pytest
from evaluation_cases import measured_entry

from models.evaluation.comparison.comparison import (
    Measured,
    of_paper,
    published_figure,
    structures_of,
    wrongly_published,
)
from models.training.recipes.recipe_book import read_recipe, recipe_names

PUBLISHED = {
    "DSC": {"CTVp": {"mean": 0.8828, "variance": 0.001, "median": 0.881}, "Bladder": 0.97},
    "mDSC_background": {"all": 0.856},
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return Measured(measured_entry(tmp_path_factory.mktemp("entry"), published=PUBLISHED))


def test_figures_of_structures_over_cases_and_slices(measured):
    assert measured.value("DSC", "Bladder") == 0.75
    assert measured.value("DSC", "Bladder", "median") == 0.75
    assert measured.value("DSC", "Bladder", "variance") == pytest.approx(0.125)  # of 0.5 and 1
    assert measured.value("DSC_slices", "Rectum") == pytest.approx(1 / 3)
    assert measured.value("DSC_slices", "Rectum", over="slices") == pytest.approx(6 / 13)
    assert measured.value("DSC", "Sacrum") is None
    assert measured.value("DSC", "CTVp") is None


def test_figures_over_structures(measured):
    mean = (0.75 + 1 / 3) / 2
    assert measured.value("DSC", "all") == pytest.approx(mean)
    assert measured.value("mDSC", "all") == pytest.approx(mean)
    assert measured.value("mDSC_background", "all") == pytest.approx((2 * mean + 896 / 920) / 3)
    assert measured.value("mDSC", "Bladder") is None
    assert measured.value("mDSC", "all", "median") is None


def test_contouring_times(measured):
    ct = measured.value("seconds", "all")
    assert ct > 0
    assert measured.value("seconds", "Bladder") == pytest.approx(ct / 3)
    assert measured.value("seconds_per_slice", "all") == pytest.approx(ct / 6)
    assert measured.value("seconds", "CTVp") is None


def test_what_the_paper_printed(measured):
    assert measured.published("DSC", "Bladder") == 0.97
    assert measured.published("DSC", "Bladder", "median") is None
    assert measured.published("DSC", "CTVp", "variance") == 0.001
    assert measured.published("DSC", "CTVp", "sd") is None
    assert measured.published("ASSD_mm", "CTVp") is None
    assert published_figure(PUBLISHED, "mDSC_background", "all") == 0.856
    assert measured.published_structures() == ("CTVp", "Bladder")


def test_structures_and_papers(measured):
    assert structures_of([measured], published=False) == ("Bladder", "Rectum", "Sacrum")
    assert structures_of([measured], published=True) == ("Bladder", "Rectum", "Sacrum", "CTVp")
    assert of_paper([measured], "xiao-2022") == [measured]
    assert of_paper([measured], "xiao-2022", 3) == []


@pytest.mark.parametrize(
    ("published", "told"),
    [
        ({"DCS": {}}, ["DCS is no metric"]),
        ({"DSC": 0.9}, ["DSC is no mapping by structure"]),
        ({"DSC": {"Bladder": "0.9"}}, ["DSC of Bladder is no figure"]),
        ({"DSC": {"Bladder": {"mode": 0.9}}}, ["DSC of Bladder is no figure"]),
        ({"DSC": {"Bladder": {"mean": True}}}, ["DSC of Bladder is no figure"]),
        (PUBLISHED, []),
    ],
)
def test_published_figures_that_cannot_be_read_are_named(published, told):
    assert wrongly_published(published) == told


@pytest.mark.parametrize("name", recipe_names())
def test_what_every_recipe_says_was_published_can_be_read(name):
    recipe = read_recipe(name)
    assert wrongly_published(recipe.published) == []
    named = {s for by_structure in recipe.published.values() for s in by_structure}
    assert named <= {*recipe.structures, "all"}
