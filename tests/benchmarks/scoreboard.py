"""What a benchmark found: rows of ours beside the peer's, as a table and as JSON.

A ratio is taken only between figures that were measured in the same run. What was quoted from a document stands
in the row, marked so, and gives no ratio; what was not measured says why.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.machine import machine

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row has to reach.

    Attributes:
        sense: on which side of the limit is right.
        limit: in the row's unit, or a ratio.
        of: what is held against the limit. A ratio "at most" is ours / peer's. A ratio "at least" is how many
            times better ours is.
        against: words for the table, such as "of the fastest".
    """

    sense: Literal["<=", ">="]
    limit: float
    of: Literal["ratio", "ours"] = "ratio"
    against: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value is on the right side; the limit itself is."""
        return value <= self.limit if self.sense == "<=" else value >= self.limit

    def text(self, unit: str) -> str:
        """The bar in the words of the table."""
        suffix = "x" if self.of == "ratio" else f" {unit}".rstrip()
        return f"{self.sense} {self.limit:g}{suffix} {self.against}".strip()


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    Attributes:
        what: the work and the quantity.
        unit: of ours and peer.
        ours: the median; None if it was not measured.
        peer: of the best peer, or the quoted constant; None if there is none.
        ratio: see ``Bar.of``; None without a peer that ran beside ours.
        bar: what it has to reach; None for a row that only informs.
        peer_name: which peer the figure is of.
        quoted: where the peer's figure was read, if it was not measured here.
        reason: why a row was not measured.
        peers: the medians of all peers.
        samples: every round's figure, by contestant.
    """

    what: str
    unit: str
    ours: float | None
    peer: float | None = None
    ratio: float | None = None
    bar: Bar | None = None
    peer_name: str = ""
    quoted: str = ""
    reason: str = ""
    peers: Mapping[str, float] = field(default_factory=dict)
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether the bar is reached; None where there is no bar or no figure."""
        value = self.ratio if self.bar is not None and self.bar.of == "ratio" else self.ours
        return None if self.bar is None or value is None else self.bar.holds(value)

    def as_json(self) -> dict[str, Any]:
        """The row as the file holds it."""
        return {
            "what": self.what,
            "unit": self.unit,
            "ours": NOT_MEASURED if self.ours is None else self.ours,
            "peer": self.peer,
            "ratio": self.ratio,
            "bar": None if self.bar is None else self.bar.text(self.unit),
            "holds": self.holds,
            "peer_name": self.peer_name,
            "quoted": self.quoted or None,
            "reason": self.reason or None,
            "peers": dict(self.peers),
            "samples": {name: list(values) for name, values in self.samples.items()},
        }


def compared(
    what: str,
    unit: str,
    samples: Mapping[str, Sequence[float]],
    bar: Bar | None = None,
    *,
    more_is_better: bool = False,
    reason: str = "",
) -> Row:
    """Ours beside the best peer, medians of all rounds.

    Args:
        what: the work and the quantity.
        unit: of the samples.
        samples: every round's figure: "ours", and each peer by its name.
        bar: what has to be reached.
        more_is_better: a rate rather than a cost.
        reason: what kept peers from being measured, if any did not run.
    """
    medians = {name: statistics.median(values) for name, values in samples.items() if values}
    ours = medians.pop("ours")
    if not medians:
        return Row(what, unit, ours, bar=bar, samples=samples, reason=reason)
    best = (max if more_is_better else min)(medians, key=medians.__getitem__)
    better = bar is not None and bar.sense == ">="
    upside_down = better != more_is_better  # times better, of a cost; or part of a rate
    ratio = _quotient(medians[best], ours) if upside_down else _quotient(ours, medians[best])
    return Row(what, unit, ours, medians[best], ratio, bar, best, "", reason, medians, samples)


def absolute(
    what: str, unit: str, samples: Sequence[float], bar: Bar | None = None, *, worst: bool = False
) -> Row:
    """Ours alone: the median, or the largest of all rounds."""
    value = max(samples) if worst else statistics.median(samples)
    return Row(what, unit, value, bar=bar, samples={"ours": samples})


def quoted(
    what: str, unit: str, samples: Sequence[float], constant: float, source: str, bar: Bar | None = None
) -> Row:
    """Ours beside a figure that somebody else published; never a ratio."""
    return Row(
        what,
        unit,
        statistics.median(samples),
        constant,
        bar=bar,
        quoted=source,
        samples={"ours": samples},
    )


def not_measured(what: str, unit: str, reason: str, bar: Bar | None = None) -> Row:
    """A row that this machine cannot fill."""
    return Row(what, unit, None, bar=bar, reason=reason)


def _quotient(a: float, b: float) -> float:
    return a / b if b else float("inf")


@dataclass(slots=True)
class Scoreboard:
    """The rows of one benchmark.

    Attributes:
        name: of the benchmark, and of its file.
        rows: in the order of the table.
        versions: of the packages that ran, by environment.
        remarks: sentences beneath the table.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The rows for people, and beneath them what every peer needed."""
        head = ("what", "ours", "peer", "ratio", "bar", "holds")
        lines = [_cells(row) for row in self.rows]
        widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
        text = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in
                [head, tuple("-" * w for w in widths), *lines]]  # fmt: skip
        text += [
            f"{row.what}: " + ", ".join(f"{name} {_figure(v, row.unit)}" for name, v in row.peers.items())
            for row in self.rows
            if len(row.peers) > 1
        ]
        text += [f"{row.what}: {row.reason}" for row in self.rows if row.reason]
        return "\n".join([*text, *self.remarks])

    def write(self, folder: Path) -> Path:
        """Put ``NAME.json`` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.json"
        document = {
            "benchmark": self.name,
            "machine": machine(),
            "versions": self.versions,
            "rows": [row.as_json() for row in self.rows],
            "remarks": self.remarks,
        }
        file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        return file


def _cells(row: Row) -> tuple[str, ...]:
    peer = "" if row.peer is None else _figure(row.peer, row.unit)
    origin = "quoted" if row.quoted else row.peer_name
    return (
        row.what,
        NOT_MEASURED if row.ours is None else _figure(row.ours, row.unit),
        f"{peer} ({origin})" if origin else peer,
        "" if row.ratio is None else f"{row.ratio:.3g}x",
        "" if row.bar is None else row.bar.text(row.unit),
        {True: "yes", False: "NO", None: ""}[row.holds],
    )


def _figure(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
