"""The samples of a training run in the memory of its GPU: painted there by a thread while the network learns.

Tissue maps are deformed and painted on the device, which takes it less time than a step does; phantoms are
drawn on the processor, by processes, into the files of a `SampleStock`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from models.synthetic_ct.samples import Sample, SyntheticCt
from models.training.synthetic.sample_stock import AHEAD, KEEP, SampleRecipe, SampleStock

_PHANTOMS_AHEAD = 16 * AHEAD  # of all numbers: a phantom takes seconds, and few samples are phantoms


class DeviceStock:
    """Samples by number, as `SampleStock` gives them but for what the device rounds differently.

    Args:
        recipe: what they are made of; its ``device`` holds them.
        folder: for phantoms on their way.
        keep: so many of the newest are kept, to be seen again.
    """

    def __init__(self, recipe: SampleRecipe, folder: Path, keep: int = KEEP) -> None:
        self.keep = keep
        self._recipe, self._device = recipe, torch.device(recipe.device)
        self._phantoms = SampleStock(replace(recipe, device="cpu"), folder, keep=0)
        self._held: dict[int, Future[Sample]] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._ahead = 0
        self._maker: SyntheticCt | None = None
        self._stream: torch.cuda.Stream | None = None

    def get(self, number: int) -> Sample:
        """Sample ``number`` on the device: held, being made, or made now."""
        for each in range(number, number + self._ahead + 1):
            if each not in self._held:
                self._held[each] = self._ordered(each)
        for old in [each for each in self._held if each < number - self.keep]:
            del self._held[old]
        sample = self._held[number].result()
        if self._device.type == "cuda":  # made on a stream of its own: not to be reused before we are done
            for tensor in (sample.hu, sample.labels):
                tensor.record_stream(torch.cuda.current_stream(self._device))
        return Sample(sample.hu.float(), sample.labels)

    @contextmanager
    def produced_ahead(self, count: int, first: int) -> Iterator[None]:
        """While the body runs a thread makes samples ahead, and ``count`` processes those of phantoms."""
        with ExitStack() as running:
            running.enter_context(
                self._phantoms.produced_ahead(count, first, _PHANTOMS_AHEAD, only_phantoms=True)
            )
            self._thread = ThreadPoolExecutor(1, "samples")
            running.callback(self._thread.shutdown, cancel_futures=True)
            self._ahead = AHEAD
            yield
        self._thread, self._ahead = None, 0

    def _ordered(self, number: int) -> Future[Sample]:
        if self._thread is not None:
            return self._thread.submit(self._made, number)
        done: Future[Sample] = Future()
        done.set_result(self._made(number))
        return done

    def _made(self, number: int) -> Sample:
        """As it is kept: whole HU as int16."""
        self._maker = self._maker or self._recipe.maker()
        if self._device.type == "cuda":
            self._stream = self._stream or torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._stream):
            if self._maker.shows_phantom(number):
                sample = self._phantoms.get(number)
                self._phantoms.forget(number)
            else:
                sample = self._maker.sample(number)
            hu = sample.hu.to(self._device).round().to(torch.int16)
            made = Sample(hu, sample.labels.to(self._device))
        if self._stream is not None:
            self._stream.synchronize()
        return made
