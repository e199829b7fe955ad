"""What is seen of a training run on the terminal, and how it is paused."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from models.training.lessons import Look
    from models.training.processes import Processes
    from models.training.trainer import Told
    from models.training.training_run import Watcher

_SMOOTH_STEPS = 50


@contextmanager
def refusals() -> Iterator[None]:
    """What ``models`` refuses, as a refusal that the command line prints as a sentence."""
    from models.card import BundleError
    from models.training.data_set import DataSetInvalid
    from models.training.full_disk import disk_errors
    from models.training.recipe_book import RecipeInvalid
    from models.training.refusals import TrainingRefused
    from service.errors import DataRefused, ModelRefused

    try:
        with disk_errors(TrainingRefused, "training"):
            yield
    except BundleError as error:
        raise ModelRefused(error.code, str(error)) from error
    except (DataSetInvalid, RecipeInvalid, TrainingRefused) as error:
        raise DataRefused(error.code, str(error)) from error


@dataclass(slots=True)
class _Pause:
    """Asks for a pause when time is up or somebody asks for one: SIGINT (Ctrl-C) or SIGTERM."""

    minutes: float | None
    began: float = field(default_factory=time.monotonic)
    asked: bool = False

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """A signal came; a second one does not wait for the step to end."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def wanted(self, _step: int) -> bool:
        """After this step."""
        late = self.minutes is not None and time.monotonic() - self.began > 60 * self.minutes
        return self.asked or late


@contextmanager
def watched(processes: Processes, minutes: float | None) -> Iterator[Watcher]:
    """A watcher that draws a bar in the first process, and lets every process pause together.

    Args:
        processes: that train together.
        minutes: after which to pause.
    """
    from models.training.training_run import Watcher

    pause = _Pause(minutes)
    before = {number: signal.signal(number, pause.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if processes.first:
            with _bar() as (report, say):
                yield Watcher(report, say, pause.wanted)
        else:
            yield Watcher(pause=pause.wanted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar() -> Iterator[tuple[Callable[[Told], None], Callable[[str], None]]]:
    """A progress bar with loss, validation DSC and time left; a line for each look at validation cases."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(markup=False, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("step {task.fields[step]}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]}  DSC {task.fields[dsc]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=1.0, step=0, loss="-", dsc="-")
        recent: list[float] = []

        def report(told: Told) -> None:
            recent.append(told.loss)
            del recent[:-_SMOOTH_STEPS]
            loss = sum(recent) / len(recent)
            progress.update(task, completed=told.done, step=told.step, loss=f"{loss:.4f}")
            if told.look is not None:
                dsc = f"{told.look.mean_dsc:.3f}" if told.look.dsc else "-"
                progress.update(task, dsc=dsc)
                console.print(_line(told, told.look, loss))

        def say(sentence: str) -> None:
            console.print(sentence)

        yield report, say


def _line(told: Told, look: Look, loss: float) -> str:
    by_structure = ", ".join(f"{name} {dsc:.3f}" for name, dsc in look.dsc.items())
    mean = f", DSC {look.mean_dsc:.3f} ({by_structure})" if look.dsc else ""
    return f"step {told.step}: loss {loss:.4f}, validation {look.loss:.4f}{mean}"
