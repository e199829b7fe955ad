"""One training run: steps, looks at the validation cases, checkpoints from which it goes on exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.training.learning.checkpoint import Checkpoint, write_checkpoint
from models.training.learning.learner import Learner
from models.training.learning.lessons import Lessons, Look
from models.training.learning.optimisation import Progress, Watch, learning_rate
from models.training.learning.run_log import RunLog
from models.training.learning.state_codec import packed
from models.training.refusals import TrainingRefused

_LESSONS = "lessons/"
_EXACT_SECONDS = 300.0  # a checkpoint that changes nothing in the run may come at any time


@dataclass(frozen=True, slots=True)
class Told:
    """What whoever watches a run is told after a step; ``look`` where there was one."""

    step: int
    loss: float
    done: float
    look: Look | None


class Trainer:
    """Trains one network in one folder.

    Args:
        learner: the network and how it learns.
        lessons: where batches and validation come from.
        folder: for the checkpoint and the tables.
        identity: what a checkpoint must agree in with the run that resumes it, as plain JSON values.
    """

    def __init__(self, learner: Learner, lessons: Lessons, folder: Path, identity: Mapping[str, Any]) -> None:
        self.learner, self.lessons, self.folder = learner, lessons, folder
        self.recipe, self._machine, self._identity = learner.recipe, learner.machine, identity
        self.progress, self.watch = Progress(lessons.epoch_batches), Watch()
        self._log = RunLog(folder, self.recipe.targets)
        self._saved = time.monotonic()

    def resume(self) -> bool:
        """Go on from the checkpoint if there is one; True if there was.

        Raises:
            TrainingRefused: ``checkpoint.*``; ``checkpoint.other-run`` if it is of another recipe, class list
                or data set, before any tensor is looked at.
        """
        checkpoint = Checkpoint.open(self.folder / "checkpoint")
        if checkpoint is None:
            return False
        said = checkpoint.state
        different = _differing(said["identity"], self._identity)
        if different:
            sentence = (
                f"The checkpoint is of a run with another {', another '.join(different)}. Resume with the "
                "same, or begin in another folder."
            )
            raise TrainingRefused("checkpoint.other-run", sentence)
        tensors = checkpoint.tensors()
        self.learner.state.unpack(tensors)
        lessons = {key: small.tensor() for key, small in tensors.items() if key.startswith(_LESSONS)}
        self.lessons.load_state({key.removeprefix(_LESSONS): tensor for key, tensor in lessons.items()})
        self.progress, self.watch = Progress(**said["progress"]), Watch(**said["watch"])
        self.progress.is_over &= self._cycle_is_over(self._done())  # the end may have been moved
        if said["scaler"]:
            self.learner.scaler.load_state_dict(said["scaler"])
        return True

    def save(self) -> None:
        """Write the checkpoint; a crash leaves the last one."""
        tensors = self.learner.state.packed()
        tensors |= {_LESSONS + key: packed(tensor, "exact") for key, tensor in self.lessons.state().items()}
        if self._machine.processes.first:
            self._log.flush()
            state = {
                "identity": self._identity,
                "progress": asdict(self.progress),
                "watch": asdict(self.watch),
                "scaler": self.learner.scaler.state_dict(),
            }
            write_checkpoint(self.folder / "checkpoint", tensors, state)
        self._saved = time.monotonic()

    def run(
        self, report: Callable[[Told], None] | None = None, pause: Callable[[int], bool] | None = None
    ) -> bool:
        """Train to the end; ``report`` hears of every step, ``pause`` may stop the run after any.

        Returns:
            True at the end, False if it was paused; there is a checkpoint either way.

        Raises:
            TrainingRefused: ``training.diverged``, ``checkpoint.disk-full``, ``checkpoint.unwritable``.
        """
        if self._machine.processes.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._log.begin(self.progress.step)
        while not self.progress.is_over:
            told = self._one_turn()
            if report is not None:
                report(told)
            if pause is not None and any(self._machine.processes.gathered(pause(told.step))):
                break
        self.save()
        return self.progress.is_over

    def _one_turn(self) -> Told:
        """A step, and what is due after it."""
        progress, end = self.progress, self.recipe.end
        began = time.monotonic()
        rate = learning_rate(self.recipe, progress, self.watch)
        loss = self.learner.learn(self.lessons.batch(progress.step), rate, progress.step)
        progress.step += 1
        progress.seconds += time.monotonic() - began
        if self._machine.processes.first:
            self._log.step(progress, loss, rate)
        done = self._done()
        due = done >= 1 or progress.every(self.recipe.validation.every_epochs)
        look = self._look() if due else None
        told = Told(progress.step, loss, (progress.cycle + done) / end.cycles, look)
        if due and self._cycle_is_over(done):
            self._next_cycle()
        exact = self.learner.state.is_exact and time.monotonic() - self._saved > _EXACT_SECONDS
        if progress.step % self._machine.checkpoint_steps == 0 or exact:
            self.save()
        return told

    def _done(self) -> float:
        """How much of the cycle is over: by the first process's clock, where clocks count."""
        done = self.progress.done(self.recipe.end)
        return self._machine.processes.gathered(done)[0] if self.recipe.end.hours else done

    def _cycle_is_over(self, done: float) -> bool:
        return done >= 1 or self.watch.in_vain(self.progress.cycle_epoch, self.recipe.end)

    def _look(self) -> Look:
        """Look at the validation cases with the weights that the bundle would get."""
        with self.learner.at_its_best() as network:
            look = self.lessons.look(network)
        by_loss = self.recipe.end.watch == "validation-loss"
        value = look.loss if by_loss else -look.mean_dsc
        if self.watch.see(value, self.progress.cycle_epoch, self.recipe.schedule):
            self.learner.keep()
        if self._machine.processes.first:
            self._log.flush()
            self._log.validation(self.progress, look.loss, look.dsc)
        return look

    def _next_cycle(self) -> None:
        """End the run, or begin its next cycle from the last weights."""
        if self.progress.cycle + 1 == self.recipe.end.cycles:
            self.progress.is_over = True
            return
        with self.learner.at_its_best() as network:
            self.lessons.next_cycle(network, self.progress.cycle + 1)
        self.progress.next_cycle(self.lessons.epoch_batches)
        self.watch.next_cycle(self.recipe.schedule)


def _differing(said: Any, own: Any, where: str = "") -> list[str]:  # noqa: ANN401 - plain JSON values
    """What differs between two identities, by dotted key."""
    if isinstance(said, dict) and isinstance(own, dict):
        keys = sorted({*said, *own})
        inner = (_differing(said.get(key), own.get(key), f"{where}.{key}" if where else key) for key in keys)
        return [name for names in inner for name in names]
    return [] if said == own else [where]
