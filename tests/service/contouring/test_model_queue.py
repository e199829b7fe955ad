"""While one CT is segmented the next is decoded, no more than that, and who is urgent comes first."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from analytic_bundle import small_grid

from models.volume import Provenance, Segmentation
from service.contouring.model_queue import ModelQueue, Places
from service.errors import SegmentationFailed

INT16 = np.dtype(np.int16)
GRID = small_grid(3)
SECONDS = 10.0


@dataclass
class Model:
    """A model process that answers when it is let."""

    seen: list[int] = field(default_factory=list)
    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    may_answer: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def segment(self, fill, grid, dtype, card, structures, *, deadline_seconds, progress=None):
        hu = np.empty(grid.shape_zyx, dtype)
        fill(hu)
        assert (hu == hu[0, 0, 0]).all()
        self.seen.append(int(hu[0, 0, 0]))
        self.began.release()
        assert self.may_answer.acquire(timeout=SECONDS)
        if hu[0, 0, 0] < 0:
            raise SegmentationFailed("model.crashed", "It died.")
        return Segmentation({}, Provenance("null", "1.0", "0" * 64, validated=True), (), {"network": 1.0})


@dataclass
class Line:
    """Jobs that are numbers: each fills its CT with its own."""

    queue: ModelQueue
    decoded: list[int] = field(default_factory=list)
    decoding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    failed: list[int] = field(default_factory=list)
    answers: dict[int, Segmentation] = field(default_factory=dict)

    def start(self, number: int, priority: int = 100) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(number, priority), daemon=True)
        thread.start()
        return thread

    def _run(self, number: int, priority: int) -> None:
        def fill(hu: np.ndarray) -> None:
            hu[...] = number
            self.decoded.append(number)
            self.decoding.release()

        try:
            turn = self.queue.turn(priority)
            self.answers[number] = turn.segment(fill, GRID, INT16, None, None, deadline_seconds=1)
        except SegmentationFailed:
            self.failed.append(number)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def _a_ct_was_there_before():
    """Its memory is kept: what a test leaves open is counted beside it."""
    model = Model()
    model.may_answer.release()
    Line(ModelQueue((model,))).start(0).join(SECONDS)


def test_the_next_ct_is_decoded_while_one_is_segmented_and_no_further_one():
    model = Model()
    line = Line(ModelQueue((model,)))
    before = open_descriptors()
    threads = [line.start(1)]
    assert model.began.acquire(timeout=SECONDS)
    assert line.decoding.acquire(timeout=SECONDS)
    threads.append(line.start(2))
    assert line.decoding.acquire(timeout=SECONDS)  # 1 has not been answered yet
    threads.append(line.start(3))
    assert not line.decoding.acquire(timeout=0.3)
    assert (line.decoded, model.seen) == ([1, 2], [1])
    for _ in threads:
        model.may_answer.release()
    for thread in threads:
        thread.join(SECONDS)
    assert model.seen == [1, 2, 3]
    assert sorted(line.answers) == [1, 2, 3]
    assert open_descriptors() == before


def test_what_is_waited_for_a_model_is_told_apart_from_what_it_took():
    model = Model()
    model.may_answer.release()
    line = Line(ModelQueue((model,)))
    line.start(1).join(SECONDS)
    assert line.answers[1].seconds["network"] == 1.0
    assert 0 <= line.answers[1].seconds["waited_for_model"] < 1


def test_a_model_that_fails_in_the_middle_goes_on_with_the_next():
    model = Model()
    line = Line(ModelQueue((model,)))
    before = open_descriptors()
    threads = []
    for number in (1, -2, 3):
        threads.append(line.start(number))
        assert line.decoding.acquire(timeout=SECONDS)
        model.may_answer.release()
        threads[-1].join(SECONDS)
    assert (line.failed, sorted(line.answers)) == ([-2], [1, 3])
    assert open_descriptors() == before


def test_a_ct_that_cannot_be_decoded_keeps_no_place_and_no_memory():
    model = Model()
    queue = ModelQueue((model,))
    before = open_descriptors()

    def damaged(_hu: np.ndarray) -> None:
        message = "pixel data end early"
        raise ValueError(message)

    with pytest.raises(ValueError, match="end early"):
        queue.turn(1).segment(damaged, GRID, INT16, None, None, deadline_seconds=1)
    assert open_descriptors() <= before
    line = Line(queue)
    model.may_answer.release()
    line.start(4).join(SECONDS)
    assert model.seen == [4]


def test_two_models_work_at_the_same_time():
    models = (Model(), Model())
    line = Line(ModelQueue(models))
    threads = [line.start(1), line.start(2)]
    for model in models:
        assert model.began.acquire(timeout=SECONDS)
        model.may_answer.release()
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(line.answers) == [1, 2]


def test_the_urgent_come_first_and_equals_in_their_order():
    places = Places(["model"])
    held = places.take(1)
    served: list[str] = []
    threads = []
    for name, priority in (("a", 100), ("b", 50), ("c", 100), ("d", 50)):
        waiting = len(places._waiting)

        def take(name: str = name, priority: int = priority) -> None:
            with places.place(priority):
                served.append(name)

        threads.append(threading.Thread(target=take, daemon=True))
        threads[-1].start()
        while len(places._waiting) == waiting:
            pass
    places.give_back(held)
    for thread in threads:
        thread.join(SECONDS)
    assert served == ["b", "d", "a", "c"]
