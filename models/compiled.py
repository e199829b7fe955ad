"""A network compiled for its tiles, in the background: what is not ready yet runs eagerly, and nobody waits.

The compiler's caches lie where ``TORCHINDUCTOR_CACHE_DIR`` and ``TRITON_CACHE_DIR`` say, so that the next
start finds the kernels made. Kernels are chosen without timing them: the same network, shape and device give
the same ones, and so the same numbers.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

EAGER: Final = "eager"
COMPILED: Final = "compiled"

_OPTIONS: Final = {"deterministic": True}
_ON_CPU: Final = {**_OPTIONS, "freezing": True}  # weights are packed once as oneDNN wants them
_FAILURES: Final = (RuntimeError, OSError, ImportError)


class NotCompiled(RuntimeError):
    """The compiled network does not take this input as it is; run it eagerly."""


def can_compile(device: torch.device) -> bool:
    """True if what it needs is on this machine: a C compiler for a GPU, one of C++ for a processor."""
    return any(shutil.which(name) for name in (("g++", "clang++") if device.type == "cpu" else ("gcc", "cc")))


class CompiledNetwork:
    """One network, compiled for one shape of input at a time.

    Args:
        network: in evaluation, on ``device``; its memory format is that of its inputs.
        device: where it runs.
        memory_format: of the inputs.
    """

    def __init__(self, network: nn.Module, device: torch.device, memory_format: torch.memory_format) -> None:
        self._device = device
        self._format = memory_format
        self._network = network
        self._compiled: Callable[[Tensor], Tensor] | None = None
        self._asked: set[tuple[tuple[int, ...], torch.dtype]] = set()
        self._ready: dict[tuple[tuple[int, ...], torch.dtype], int] = {}
        self._busy = threading.Lock()

    def ask(self, shape: tuple[int, ...], precision: torch.dtype, *, wait: bool = False) -> None:
        """Have it compiled for inputs of ``shape``, the batch first, once and in the background."""
        if (shape, precision) in self._asked or not can_compile(self._device):
            return
        self._asked.add((shape, precision))
        worker = threading.Thread(target=self._compile, args=(shape, precision), daemon=True, name="compiler")
        worker.start()
        if wait:
            worker.join()

    @contextmanager
    def held(self, shape: tuple[int, ...], precision: torch.dtype) -> Iterator[bool]:
        """Whether inputs of this shape can be given now; none is compiled meanwhile."""
        free = (shape, precision) in self._ready and self._busy.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._busy.release()

    def __call__(self, shown: Tensor) -> Tensor:
        """Logits of ``shown``, no more inputs than it was compiled for; within :meth:`held`.

        Raises:
            NotCompiled: something about the input is not as it was when it was compiled.
        """
        precision = torch.get_autocast_dtype(self._device.type)
        precision = precision if torch.is_autocast_enabled(self._device.type) else torch.float32
        batches = [s[0] for s, p in self._ready if s[1:] == shown.shape[1:] and p is precision]
        batch = min((n for n in batches if n >= len(shown)), default=0)
        if not batch or self._compiled is None:
            raise NotCompiled
        missing = batch - len(shown)
        full = torch.cat([shown, shown[-1:].expand(missing, *shown.shape[1:])]) if missing else shown
        try:
            with torch.compiler.set_stance("fail_on_recompile"):
                found: Tensor = self._compiled(full.contiguous(memory_format=self._format))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise NotCompiled from error
        return found[: len(shown)]

    @torch.inference_mode()
    def _compile(self, shape: tuple[int, ...], precision: torch.dtype) -> None:
        options: dict[str, Any] = dict(_ON_CPU if self._device.type == "cpu" else _OPTIONS)
        shown = torch.zeros(shape, device=self._device).contiguous(memory_format=self._format)
        try:
            with self._busy, torch.autocast(self._device.type, precision, enabled=precision != torch.float32):
                if self._compiled is None:
                    self._compiled = torch.compile(self._network, dynamic=False, options=options)
                self._compiled(shown)
        except _FAILURES:
            return  # it stays eager, which the provenance says
        self._ready[shape, precision] = shape[0]
