import builtins

import numpy as np
import pytest
from evaluation_cases import BLADDER, NOTHING, RECTUM, SHAPE, box, grid
from matplotlib.image import imread

from models.data_sets.data_set import Case
from models.evaluation import pictures as evaluation_pictures
from models.evaluation.figures import figures
from models.evaluation.pictures import WorstCases, draw_box_plot, draw_worst, why_no_pictures
from models.volume import CtVolume


def case(name):
    return Case(name, "p1", CtVolume(np.full(SHAPE, 40, np.int16), grid()), {})


def look(worst, name, truth, answer, structure="Bladder"):
    worst(case(name), structure, figures(truth, answer, grid(), 2.0), truth, answer)


def test_the_worst_cases_stay_in_order_and_an_absent_structure_is_none():
    worst = WorstCases(keep=2)
    look(worst, "good", BLADDER, BLADDER)
    look(worst, "half", BLADDER, box((1, 3), (1, 2), (2, 6)))
    look(worst, "missed", BLADDER, NOTHING)
    look(worst, "three-quarters", BLADDER, box((1, 3), (1, 2), (1, 5)))
    look(worst, "absent", NOTHING, NOTHING)
    look(worst, "other", RECTUM, RECTUM, "Rectum")
    found = worst.cases()
    assert [each.case for each in found["Bladder"]] == ["missed", "half"]
    assert [each.case for each in found["Rectum"]] == ["other"]


def test_of_two_that_were_missed_the_larger_is_worse():
    worst = WorstCases(keep=1)
    look(worst, "small", BLADDER, NOTHING)
    look(worst, "large", RECTUM, NOTHING)
    assert [each.case for each in worst.cases()["Bladder"]] == ["large"]


def test_the_worst_slices_are_those_with_the_largest_difference():
    answer = RECTUM.copy()
    answer[5] = False  # four pixels missing
    answer[4, 5, 4:] = False  # two, but only 3 mm below
    answer[1, 5, 4] = False  # one
    worst = WorstCases(planes=3)
    look(worst, "a", RECTUM, answer)
    (found,) = worst.cases()["Bladder"]
    assert [plane.index for plane in found.planes] == [5, 1]
    assert found.planes[0].truth.sum() == 4
    assert not found.planes[0].answer.any()
    assert found.slices == 6
    assert found.pixel_aspect == 2.0


def test_where_nothing_differs_the_largest_slice_is_shown():
    truth = RECTUM.copy()
    truth[3, 0] = True
    worst = WorstCases()
    look(worst, "a", truth, truth)
    assert [plane.index for plane in worst.cases()["Bladder"][0].planes] == [3]


def test_only_the_surroundings_are_kept():
    shape = (3, 200, 200)
    mask = np.zeros(shape, bool)
    mask[1, 100, 150] = True
    volume = CtVolume(np.zeros(shape, np.int16), evaluation_grid(shape))
    worst = WorstCases()
    empty = np.zeros(shape, bool)
    worst(Case("a", "p1", volume, {}), "Bladder", figures(mask, empty, volume.grid, 2.0), mask, empty)
    (plane,) = worst.cases()["Bladder"][0].planes
    assert plane.hu.shape == (81, 81)  # 40 mm to either side at 1 mm
    assert plane.truth[40, 40]


def evaluation_grid(shape):
    from models.volume import Grid

    origins = np.outer(np.arange(shape[0]) * 3.0, [0.0, 0.0, 1.0])
    return Grid(origins, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), *shape[1:])


def test_the_title_says_what_is_wrong():
    worst = WorstCases()
    look(worst, "p0001-1", BLADDER, box((1, 3), (1, 2), (2, 6)))
    look(worst, "p0002-1", BLADDER, NOTHING)
    missed, half = worst.cases()["Bladder"]
    assert half.title == "Bladder, p0001-1: DSC 0.500, HD95 2.0 mm"
    assert missed.title == "Bladder, p0002-1: DSC 0.000, missed"


def color(text):
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def test_truth_and_answer_are_drawn_in_their_colors_and_an_answer_that_is_not_there_is_not(tmp_path):
    worst = WorstCases()
    large = box((2, 3), (1, 7), (1, 9))
    look(worst, "both", large, box((2, 3), (2, 5), (2, 6)))
    look(worst, "missed", large, NOTHING)
    shares = {}
    for each in worst.cases()["Bladder"]:
        draw_worst(each, tmp_path / "pictures" / "worst.png")
        picture = imread(tmp_path / "pictures" / "worst.png")[..., :3]
        middle = picture[picture.shape[0] // 5 : -picture.shape[0] // 8]  # without title and legend
        for name in ("TRUTH_COLOR", "ANSWER_COLOR"):
            near = np.abs(middle - color(getattr(evaluation_pictures, name))).max(axis=-1) < 0.1
            shares[each.case, name] = near.mean()
    assert shares["both", "TRUTH_COLOR"] > 1e-3
    assert shares["both", "ANSWER_COLOR"] > 1e-3
    assert shares["missed", "TRUTH_COLOR"] > 1e-3
    assert shares["missed", "ANSWER_COLOR"] == 0


def test_a_box_plot_grows_with_its_boxes(tmp_path):
    draw_box_plot({"Bladder": [0.9, 0.8, 0.7]}, "DSC", tmp_path / "one.png")
    draw_box_plot({f"S{n}": [0.1 * n, 0.5] for n in range(9)}, "DSC", tmp_path / "nine.png")
    one, nine = (imread(tmp_path / f"{name}.png") for name in ("one", "nine"))
    assert nine.shape[1] > 1.5 * one.shape[1]
    assert one[..., :3].std() > 0.05  # something is drawn on the white


def test_without_matplotlib_a_sentence_says_why_there_are_no_pictures(monkeypatch):
    assert why_no_pictures() is None
    find_spec = evaluation_pictures.importlib.util.find_spec
    monkeypatch.setattr(
        evaluation_pictures.importlib.util,
        "find_spec",
        lambda name: None if name == "matplotlib" else find_spec(name),
    )
    assert "delineate[pictures]" in why_no_pictures()
    assert builtins.__import__  # nothing else was touched


@pytest.mark.parametrize("keep", [0, 1])
def test_no_more_are_kept_than_asked_for(keep):
    worst = WorstCases(keep=keep)
    look(worst, "a", BLADDER, NOTHING)
    look(worst, "b", BLADDER, BLADDER)
    assert sum(map(len, worst.cases().values())) == keep
