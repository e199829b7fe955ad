"""What a training run shows, and how it is asked to pause."""

from __future__ import annotations

import os
import signal
import time

import pytest

from models.cards.card import BundleError
from models.training.learning.lessons import Look
from models.training.learning.processes import Processes
from models.training.learning.trainer import Told
from models.training.refusals import TrainingRefused
from service.command_line.training_watch import refusals, watched
from service.errors import DataRefused, ModelRefused


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_a_pause_and_a_second_one_does_not_wait(number):
    before = signal.getsignal(number)
    with watched(Processes(), None) as watcher:
        assert watcher.pause is not None
        assert not watcher.pause(1)
        os.kill(os.getpid(), number)
        assert watcher.pause(2)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_time_is_up_after_so_many_minutes():
    with watched(Processes(), 0.001) as watcher:
        assert not watcher.pause(1)
        time.sleep(0.07)
        assert watcher.pause(2)


def test_a_look_is_told_with_loss_and_dsc(capsys):
    with watched(Processes(), None) as watcher:
        for part in (0.5, 1.0):
            watcher.prepare(part)
        watcher.report(Told(1, 0.5, 0.1, None))
        watcher.report(Told(2, 0.3, 0.2, Look(0.25, {"Bladder": 0.9, "Rectum": 0.7})))
        watcher.report(Told(3, 0.3, 0.3, Look(0.2)))
        watcher.say("Choosing thresholds.")
    output = capsys.readouterr().out
    assert "step 2: loss 0.4000, validation 0.2500, DSC 0.800 (Bladder 0.900, Rectum 0.700)" in output
    assert "step 3: loss 0.3667, validation 0.2000\n" in output
    assert "Choosing thresholds." in output


def test_other_processes_are_silent(capsys):
    with watched(Processes(1, 2), None) as watcher:
        assert watcher.report is None
        watcher.say("nothing")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (BundleError("model.unknown", "There is none."), ModelRefused, "model.unknown"),
        (TrainingRefused("training.diverged", "It diverged."), DataRefused, "training.diverged"),
        (OSError(28, "No space left on device"), DataRefused, "training.disk-full"),
    ],
)
def test_what_is_refused_becomes_a_refusal_of_the_command_line(error, kind, code):
    with pytest.raises(kind) as refusal, refusals():
        raise error
    assert refusal.value.code == code
