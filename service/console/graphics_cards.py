"""What the graphics cards say of themselves, where NVIDIA's own program is installed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

_SECONDS: Final = 5.0
_QUERY: Final = ("index", "utilization.gpu", "memory.used", "memory.total", "temperature.gpu")
_METRICS: Final = (
    ("gpu_utilization_percent", "How busy a card is", 1.0),
    ("gpu_memory_used_bytes", "Memory in use", 2.0**20),
    ("gpu_memory_bytes", "Memory there is", 2.0**20),
    ("gpu_temperature_celsius", "Its temperature", 1.0),
)


def graphics_cards() -> Iterator[Metric]:
    """Nothing where there is none, or where it does not answer."""
    rows = cards_now()
    for column, (name, text, unit) in enumerate(_METRICS, 1):
        metric = GaugeMetricFamily(f"delineate_{name}", text, labels=["gpu"])
        for row in rows:
            metric.add_metric([f"{row[0]:.0f}"], row[column] * unit)
        if metric.samples:
            yield metric


def cards_now() -> list[list[float]]:
    """One row a card: number, percent busy, MiB in use, MiB, degrees Celsius."""
    program = shutil.which("nvidia-smi")
    return [] if program is None else cards_of(_asked(program))


def cards_of(answer: str) -> list[list[float]]:
    """One row a card, in the columns that were asked for; what is not a number makes its row unknown."""
    rows = []
    for line in answer.splitlines():
        try:
            row = [float(cell) for cell in line.split(",")]
        except ValueError:
            continue
        if len(row) == len(_QUERY):
            rows.append(row)
    return rows


def _asked(program: str) -> str:
    words = [program, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
