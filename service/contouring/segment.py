"""The parent's side of the model process: a CT volume in, a segmentation out, within a deadline.

Nothing that a model does can take this process down: it runs in a child that is killed when it hangs and
started again when it dies. torch is never imported here.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from models.cards.card import Card
from models.volume import Grid, Segmentation
from service.contouring.ct_memory import CtMemory, Fill
from service.contouring.model_link import (
    LinkClosed,
    Message,
    grid_as_json,
    mapped,
    receive,
    segmentation_of_json,
    send,
)
from service.errors import MODEL_KILLED, ModelRefused, SegmentationFailed
from service.log import QUIET, EventLog
from service.process_life import Lifeline

if TYPE_CHECKING:
    from service.config.reader import LoadedSite

Progress = Callable[[float], None]

_CHILD: Final = ("-m", "service", "model-process")
# Threads without work sleep: where they spin and the cores are busy, a CT takes four times as long.
_THREADS: Final = {"OMP_WAIT_POLICY": "PASSIVE"}
_START_SECONDS: Final = 180.0  # importing torch from a cold disk
_END_SECONDS: Final = 5.0
_BACKGROUND: Final = 19  # the least of what setpriority(2) knows

_log = EventLog("contouring")


class ModelClient:
    """One model process, started when it is first needed and again when it has died.

    Args:
        loaded: the site: device, number of GPUs, folders with further bundles.
        gpu: which GPU, from 0; without meaning where ``node.device`` is ``cpu``.
        quiet: the child logs only what a person should look at.
        in_background: the child computes when no other process wants the cores.

    Use it from one thread at a time, as a context manager or with :meth:`close`.
    """

    def __init__(
        self, loaded: LoadedSite, gpu: int = 0, *, quiet: bool = False, in_background: bool = False
    ) -> None:
        self._device = _device(loaded.site.node.device, loaded.site.node.gpus, gpu)
        self._folders = loaded.bundle_folders
        self._kernels = loaded.storage / "compiled"
        self._lifeline = Lifeline()
        self._quiet = {QUIET: "1"} if quiet else {}
        self._in_background = in_background
        # The kernel ends a child with the *thread* that started it, so one thread starts them all and stays.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="model-starter")
        self._child: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the child, None if there is none just now."""
        return None if self._child is None else self._child.pid

    def segment(  # noqa: PLR0913 - what a segmentation needs, each by its name
        self,
        fill: Fill,
        grid: Grid,
        dtype: np.dtype[Any],
        card: Card,
        structures: Sequence[str] | None,
        *,
        deadline_seconds: float,
        progress: Progress | None = None,
    ) -> Segmentation:
        """Run a model on a CT volume.

        Args:
            fill: writes the CT numbers into an array ``grid.shape_zyx``; what it raises comes through.
                Memory that holds them already is handed over as it is, and stays the caller's to close.
            grid: of the volume.
            dtype: int16 or float32.
            card: the model.
            structures: those wanted; None for all of the card.
            deadline_seconds: from the moment the child has the volume.
            progress: told the part that is done, 0 to 1.

        Raises:
            ModelRefused: the CT does not show what the model knows, the bundle does not fit its card, or the
                answer cannot be used.
            SegmentationFailed: ``model.timed-out``, ``model.crashed``, ``model.killed``,
                ``model.failed``, ``model.out-of-memory``, ``model.not-started``.
        """
        memory = fill if isinstance(fill, CtMemory) else CtMemory.filled(fill, grid, dtype)
        try:
            message = {
                "do": "segment",
                "model": card.reference,
                "structures": None if structures is None else list(structures),
                "dtype": dtype.name,
                "grid": grid_as_json(grid),
            }
            reply, answer = self._ask(message, [memory.descriptor], deadline_seconds, progress)
        finally:
            if memory is not fill:
                memory.close()
        return _segmentation(reply, answer, grid)

    def warm(self, card: Card, *, deadline_seconds: float = _START_SECONDS) -> None:
        """Have a model loaded before the first CT comes; raises what :meth:`segment` raises."""
        _, memory = self._ask({"do": "warm", "model": card.reference}, [], deadline_seconds, None)
        for descriptor in memory:
            os.close(descriptor)

    def kill(self) -> None:
        """End the child at once, from any thread; the CT that it has in hand fails as ``model.killed``."""
        child = self._child
        if child is not None:
            child.kill()

    def rest(self) -> None:
        """End the child, if there is one; the next CT starts another."""
        self._end(kill=False)

    def close(self) -> None:
        """End the child, if there is one, for good."""
        self._end(kill=False)
        self._starter.shutdown()
        self._lifeline.close()

    def _ask(
        self, message: Message, descriptors: list[int], deadline_seconds: float, progress: Progress | None
    ) -> tuple[Message, list[int]]:
        link = self._running()
        answered = False
        try:
            link.settimeout(deadline_seconds)
            send(link, message, descriptors)
            reply, memory = self._reply(link, time.monotonic() + deadline_seconds, progress)
            answered = True
        except TimeoutError:
            self._end(kill=True)
            sentence = f"The model took longer than {deadline_seconds:.0f} s and was stopped."
            raise SegmentationFailed("model.timed-out", sentence) from None
        except LinkClosed:
            raise self._crashed() from None
        finally:
            if not answered:  # for whatever reason: the next CT must never get the answer to this one
                self._end(kill=True)
        if reply["say"] == "error":
            raise self._error(reply)
        return reply, memory

    def _reply(
        self, link: socket.socket, deadline: float, progress: Progress | None
    ) -> tuple[Message, list[int]]:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            link.settimeout(left)
            message, memory = receive(link)
            if message["say"] != "progress":
                return message, memory
            if progress is not None:
                progress(float(message["part"]))

    def _error(self, message: Message) -> ModelRefused | SegmentationFailed:
        if message["kind"] == "refused":
            return ModelRefused(message["code"], message["sentence"])
        self._end(kill=True)  # it ends by itself; the next one starts clean
        return SegmentationFailed(message["code"], message["sentence"])

    def _crashed(self) -> SegmentationFailed:
        code = None if self._child is None else _exit_code(self._child)
        self._end(kill=True)
        _log.warning("model.crashed", exit_code=code)
        if code == -signal.SIGKILL:
            sentence = (
                "The model process was killed from outside, by a person or because the machine had no memory "
                "left; a fresh one is started."
            )
            return SegmentationFailed(MODEL_KILLED, sentence)
        reason = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return SegmentationFailed(
            "model.crashed", f"The model process died ({reason}); a fresh one is started."
        )

    def _running(self) -> socket.socket:
        """The link to a child that is ready, started if need be."""
        if self._child is not None and self._child.poll() is not None:
            _log.warning("model.found-dead", exit_code=self._child.returncode)
            self._end(kill=True)
        if self._child is None or self._link is None:
            self._start()
        assert self._link is not None  # noqa: S101 - for the type checker: _start has made it
        return self._link

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", *_CHILD, "--link", str(theirs.fileno()), "--device", self._device]
        for folder in self._folders:
            command += ["--bundles", str(folder)]
        with theirs:
            self._child = self._starter.submit(
                subprocess.Popen,
                command,
                pass_fds=(theirs.fileno(), *self._lifeline.pass_fds),
                env=_THREADS | self._lifeline.environment() | self._quiet | self._caches(),
                stdin=subprocess.DEVNULL,
            ).result()
        if self._in_background:
            os.setpriority(os.PRIO_PROCESS, self._child.pid, _BACKGROUND)
        self._link = ours
        _log.info("model.started", pid=self._child.pid, device=self._device)
        ours.settimeout(_START_SECONDS)
        try:
            receive(ours)
        except TimeoutError:
            self._end(kill=True)
            sentence = f"The model process was not ready within {_START_SECONDS:.0f} s."
            raise SegmentationFailed("model.not-started", sentence) from None
        except LinkClosed:
            raise self._crashed() from None

    def _caches(self) -> dict[str, str]:
        """Where a GPU's compiled kernels stay from one start to the next."""
        folders = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
        return {variable: str(self._kernels / name) for variable, name in folders.items()}

    def _end(self, *, kill: bool) -> None:
        """Let the child go; it ends when the link closes, or is killed."""
        if self._link is not None:
            self._link.close()
            self._link = None
        child, self._child = self._child, None
        if child is None:
            return
        if kill:
            child.kill()
        try:
            child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _exit_code(child: subprocess.Popen[bytes]) -> int | None:
    """How a child ended that has let its link go; None if it lives on all the same."""
    try:
        return child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _segmentation(reply: Message, memory: list[int], grid: Grid) -> Segmentation:
    try:
        return segmentation_of_json(reply, mapped(memory[0], writable=False), grid.shape_zyx)
    except (ValueError, KeyError, IndexError) as error:
        sentence = "The model's answer does not fit the CT and is not used."
        raise ModelRefused("model.answer-invalid", sentence) from error
    finally:
        for descriptor in memory:
            os.close(descriptor)


def _device(wanted: str, gpus: int, gpu: int) -> str:
    """``auto`` and ``cuda`` become a certain GPU where there are several."""
    return f"cuda:{gpu}" if gpus > 1 and wanted in ("auto", "cuda") else wanted
