"""How long each stage of a segmentation takes and how much memory it needs at its peak."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_RESET: Final = Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"  # proc(5): the peak of resident memory becomes what is resident now
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Peak:
    """Most memory at one time, bytes: resident in the process, and allocated on the GPU (0 without one)."""

    resident: int
    on_gpu: int = 0


def no_gpu() -> int:
    """Bytes that a processor without a GPU has allocated there."""
    return 0


class Stages:
    """Seconds and peaks by stage; a stage that comes again adds its time and keeps the higher peak.

    Args:
        gpu_peak: most bytes allocated on the GPU since it was last asked.

    The kernel's watermark is reset when a stage begins, so stages do not nest.
    """

    def __init__(self, gpu_peak: Callable[[], int] = no_gpu) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, Peak] = {}
        self._gpu_peak = gpu_peak

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what is done inside to ``name``."""
        _reset_resident_peak()
        self._gpu_peak()
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        before = self.peaks.get(name, Peak(0))
        now = Peak(resident_peak(), self._gpu_peak())
        self.peaks[name] = Peak(max(before.resident, now.resident), max(before.on_gpu, now.on_gpu))


def resident_peak() -> int:
    """Most bytes that were resident since the last reset; 0 where the kernel does not tell."""
    try:
        found = _PEAK.search(_STATUS.read_text())
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0


def peaks_as_json(peaks: Mapping[str, Peak]) -> dict[str, list[int]]:
    """What :func:`peaks_of_json` reads."""
    return {name: [peak.resident, peak.on_gpu] for name, peak in peaks.items()}


def peaks_of_json(content: Mapping[str, list[int]]) -> dict[str, Peak]:
    """The peaks that :func:`peaks_as_json` wrote."""
    return {name: Peak(*pair) for name, pair in content.items()}


def _reset_resident_peak() -> None:
    try:
        _RESET.write_text(_RESET_PEAK)
    except OSError:
        return  # a container may forbid it: then a peak is that of the process so far
