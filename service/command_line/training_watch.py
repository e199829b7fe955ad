"""What is seen of a training run on the terminal, and how it is paused."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from rich.progress import Progress, TaskID

    from models.training.learning.lessons import Look
    from models.training.learning.processes import Processes
    from models.training.learning.trainer import Told
    from models.training.training_run import Watcher

_SMOOTH_STEPS = 50


@contextmanager
def refusals() -> Iterator[None]:
    """What ``models`` refuses, as a refusal that the command line prints as a sentence."""
    from models.cards.card import BundleError
    from models.data_sets.data_set import DataSetInvalid
    from models.full_disk import disk_errors
    from models.training.recipes.recipe_book import RecipeInvalid
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
            with _Bar.shown() as bar:
                yield Watcher(bar.report, bar.prepare, bar.say, pause.wanted)
        else:
            yield Watcher(pause=pause.wanted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class _Bar:
    """A bar with loss, validation DSC and time left; a line for each look at the validation cases."""

    progress: Progress
    task: TaskID | None = None
    recent: list[float] = field(default_factory=list)
    dsc: str = "-"

    @classmethod
    @contextmanager
    def shown(cls) -> Iterator[_Bar]:
        """On the terminal until the run is over."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(markup=False, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"))
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            yield cls(progress)

    def prepare(self, part: float) -> None:
        """So much of the cases is ready."""
        self._show("bringing cases to the network's grid", part)
        if part >= 1 and self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None

    def report(self, told: Told) -> None:
        """A step was done."""
        self.recent.append(told.loss)
        del self.recent[:-_SMOOTH_STEPS]
        loss = sum(self.recent) / len(self.recent)
        if told.look is not None:
            self.dsc = f"{told.look.mean_dsc:.3f}" if told.look.dsc else "-"
            self.say(_line(told, told.look, loss))
        self._show(f"step {told.step}  loss {loss:.4f}  DSC {self.dsc}", told.done)

    def say(self, sentence: str) -> None:
        """Above the bar."""
        self.progress.console.print(sentence)

    def _show(self, description: str, part: float) -> None:
        if self.task is None:
            self.task = self.progress.add_task(description, total=1.0)
        self.progress.update(self.task, completed=part, description=description)


def _line(told: Told, look: Look, loss: float) -> str:
    by_structure = ", ".join(f"{name} {dsc:.3f}" for name, dsc in look.dsc.items())
    mean = f", DSC {look.mean_dsc:.3f} ({by_structure})" if look.dsc else ""
    return f"step {told.step}: loss {loss:.4f}, validation {look.loss:.4f}{mean}"
