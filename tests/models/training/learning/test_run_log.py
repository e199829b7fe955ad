import math

from models.training.learning.curves import draw_curves, smoothed
from models.training.learning.optimisation import Progress
from models.training.learning.run_log import RunLog, read_log


def test_both_tables_have_a_line_for_each_step_and_look(tmp_path):
    log = RunLog(tmp_path, ["Bladder", "Rectum"])
    log.begin(0)
    for step in (1, 2):
        log.step(Progress(4, step=step, seconds=0.5 * step), 1.5 / step, 1e-3)
    log.validation(Progress(4, step=2), 0.25, {"Bladder": 0.5})
    log.validation(Progress(4, step=4), float("nan"), {})
    log.flush()
    assert (tmp_path / "progress.csv").read_text().splitlines() == [
        "step,epoch,cycle,loss,learning_rate,seconds",
        "1,0.2500,0,1.500000,1.0000e-03,0.50",
        "2,0.5000,0,0.750000,1.0000e-03,1.00",
    ]
    assert (tmp_path / "validation.csv").read_text().splitlines() == [
        "step,epoch,cycle,loss,dsc,Bladder,Rectum",
        "2,0.5000,0,0.25000,0.50000,0.50000,",
        "4,1.0000,0,nan,,,",
    ]
    looks = read_log(tmp_path / "validation.csv")
    assert looks["Bladder"][0] == 0.5
    assert math.isnan(looks["Rectum"][0])
    assert read_log(tmp_path / "progress.csv")["step"] == [1, 2]


def test_lines_after_the_checkpoint_are_dropped(tmp_path):
    log = RunLog(tmp_path, [])
    log.begin(0)
    for step in range(1, 6):
        log.step(Progress(4, step=step), 1.0, 1.0)
    log.flush()
    again = RunLog(tmp_path, [])
    again.begin(3)
    assert read_log(tmp_path / "progress.csv")["step"] == [1, 2, 3]


def test_curves_are_drawn_from_the_tables_even_if_they_are_empty(tmp_path):
    log = RunLog(tmp_path, ["Bladder"])
    log.begin(0)
    assert draw_curves(tmp_path) is None
    empty = (tmp_path / "curves.png").read_bytes()
    for step in range(1, 9):
        log.step(Progress(4, step=step), 1 / step, 1e-3)
    log.validation(Progress(4, step=8), 0.3, {"Bladder": 0.9})
    log.flush()
    assert draw_curves(tmp_path) is None
    drawn = (tmp_path / "curves.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert len(drawn) > len(empty)
    assert not list(tmp_path.glob("*.part"))


def test_without_matplotlib_there_is_a_sentence_and_no_picture(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    sentence = draw_curves(tmp_path)
    assert sentence is not None
    assert "delineate[pictures]" in sentence


def test_smoothing_weighs_the_first_values_evenly():
    assert smoothed([2.0]) == [2.0]
    found = smoothed([1.0, 3.0], weight=0.5)
    assert found == [1.0, (0.5 * 1 + 3 * 1) / 1.5]
