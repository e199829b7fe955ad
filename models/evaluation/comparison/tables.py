"""The tables of a comparison: all models by structure, and each paper's own tables with what it printed.

A cell is what was measured and, in brackets, what the paper printed of its own patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from models.evaluation.comparison.comparison import ALL, Measured, Statistic, of_paper, structures_of
from models.evaluation.report import number
from models.evaluation.summary import counts

BY_STRUCTURE: Final = ("DSC", "HD95_mm", "ASSD_mm")


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """One table; the first column names its lines."""

    title: str
    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A figure that a table shows: what it is called, and where it comes from."""

    label: str
    metric: str
    statistic: Statistic = "mean"
    spread: Statistic | None = None
    over: str = "cases"

    def text(self, entry: Measured, structure: str) -> str:
        """What a cell says."""
        mine = number(self.metric, entry.value(self.metric, structure, self.statistic, self.over))
        theirs = _printed(entry.published(self.metric, structure, self.statistic))
        if self.spread is not None:
            spread = entry.value(self.metric, structure, self.spread, self.over)
            squared = "" if spread is None else f"{spread:.4f}"  # a variance of 0.001 needs four digits
            mine = _with(mine, squared if self.spread == "variance" else number(self.metric, spread))
            theirs = _with(theirs, _printed(entry.published(self.metric, structure, self.spread)))
        return f"{mine or '-'} ({theirs})" if theirs else mine


def tables(entries: Sequence[Measured]) -> Iterator[ComparisonTable]:
    """Every table that has a line."""
    yield overview(entries)
    for title, dimensions in (("2D networks", 2), ("3D networks", 3), ("Programs", None)):
        alike = [each for each in entries if each.entry.dimensions == dimensions]
        if alike:
            for metric in BY_STRUCTURE:
                yield _by_structure(f"{title}: {metric}, mean over cases", metric, alike)
    yield _times(entries)
    for paper in _PAPERS:
        yield from paper(entries)


def overview(entries: Sequence[Measured]) -> ComparisonTable:
    """A line for each model: means over its structures of means over cases, size, and time."""
    head = (
        "model", "paper", "dimensions", "parameters", "structures", "mean DSC", "mean HD95 mm",
        "mean ASSD mm", "missed", "invented", "cases", "refused", "s per CT (median)", "device", "training",
    )  # fmt: skip
    return ComparisonTable("All models", head, tuple(_line(each) for each in entries))


def _line(each: Measured) -> tuple[str, ...]:
    entry, setting = each.entry, each.entry.evaluation.setting
    counted = counts(entry.evaluation).values()
    cases = len(entry.evaluation.cases)
    return (
        entry.name,
        entry.paper or "",
        "" if entry.dimensions is None else f"{entry.dimensions}D",
        "" if setting.parameters is None else f"{setting.parameters:,}",
        str(len(setting.structures)),
        *(number(metric, each.value(metric, ALL)) for metric in BY_STRUCTURE),
        str(sum(states["missed"] for states in counted)),
        str(sum(states["invented"] for states in counted)),
        str(cases),
        str(cases - len(entry.evaluation.answered)),
        number("seconds", each.value("seconds", ALL, "median")),
        setting.device,
        entry.training,
    )


def _by_structure(title: str, metric: str, entries: Sequence[Measured]) -> ComparisonTable:
    structures = structures_of(entries, published=False)
    column = Column(metric, metric)
    lines = tuple(
        (
            each.entry.name,
            *(column.text(each, name) for name in structures),
            number(metric, each.value(metric, ALL)),
        )
        for each in entries
    )
    return ComparisonTable(title, ("model", *structures, "mean"), lines)


def _times(entries: Sequence[Measured]) -> ComparisonTable:
    columns = (
        Column("s per CT: mean ± st. dev.", "seconds", "mean", "sd"),
        Column("median", "seconds", "median"),
        Column("s per slice", "seconds_per_slice"),
    )
    lines = []
    for each in entries:
        of_structure = Column("", "seconds").text(each, each.structures[0])
        cells = [column.text(each, ALL) for column in columns]
        lines.append((each.entry.name, *cells, of_structure, each.entry.evaluation.setting.device))
    head = ("model", *(column.label for column in columns), "s per structure", "device")
    return ComparisonTable("Contouring time", head, tuple(lines))


def _xiao(entries: Sequence[Measured]) -> Iterator[ComparisonTable]:
    """Tables 2 and 3: metrics and structures down, models across."""
    for title, dimensions in (("Xiao 2022, table 2 (2D)", 2), ("Xiao 2022, table 3 (3D)", 3)):
        columns = (
            Column("JSC", "JSC"),
            Column("DSC", "DSC"),
            Column("ASSD mm", "ASSD_mm"),
            Column("contouring time s", "seconds"),
        )
        yield from _models_across(title, columns, of_paper(entries, "xiao-2022", dimensions))


def _liu_z(entries: Sequence[Measured]) -> Iterator[ComparisonTable]:
    """Table 1: structures down, models across; figures over slices."""
    columns = (
        Column("DSC ± st. dev.", "DSC_slices", "mean", "sd", "slices"),
        Column("95HD ± st. dev. mm", "HD95_slices_mm", "mean", "sd", "slices"),
    )
    yield from _models_across("Liu Z. 2020, table 1 (over slices)", columns, of_paper(entries, "liu-z-2020"))


def _huang(entries: Sequence[Measured]) -> Iterator[ComparisonTable]:
    """Tables 1, 4, 5 (mean ± variance) and 2 (median); lengths in voxels."""
    metrics = {"ASD px": "ASD_px", "HD95 px": "HD95_px", "SD": "SD", "SO": "SO", "VD": "DSC"}
    found = of_paper(entries, "huang-2023")
    varied = [Column(label, metric, "mean", "variance") for label, metric in metrics.items()]
    yield from _models_down("Huang 2023, tables 1, 4 and 5 (mean ± variance)", varied, found)
    median = [Column(label, metric, "median") for label, metric in metrics.items()]
    yield from _models_down("Huang 2023, table 2 (median)", median, found)


def _liu_x(entries: Sequence[Measured]) -> Iterator[ComparisonTable]:
    """Table 1, its means over structures in lines of their own."""
    found = of_paper(entries, "liu-x-2024")
    columns = [Column("DSC", "DSC"), Column("95HD mm", "HD95_mm")]
    yield from _models_down("Liu X. 2024, table 1", columns, found)
    means = [
        Column("mDSC", "mDSC"),
        Column("mDSC with background", "mDSC_background"),
        Column("mHD mm", "mHD95_mm"),
        Column("mHD with background mm", "mHD95_mm_background"),
    ]
    if found:
        lines = tuple((each.entry.name, *(column.text(each, ALL) for column in means)) for each in found)
        head = ("model", *(column.label for column in means))
        yield ComparisonTable("Liu X. 2024, table 1, over structures", head, lines)


def _sartor(entries: Sequence[Measured]) -> Iterator[ComparisonTable]:
    """Tables 1 and 2: mean and median."""
    columns = [
        Column("Dice mean", "DSC"),
        Column("Dice median", "DSC", "median"),
        Column("MSD mean mm", "MSD_mm"),
        Column("MSD median mm", "MSD_mm", "median"),
    ]
    yield from _models_down("Sartor 2020, tables 1 and 2", columns, of_paper(entries, "sartor-2020"))


_PAPERS: Final = (_xiao, _huang, _liu_x, _liu_z, _sartor)


def _models_across(
    title: str, columns: Sequence[Column], entries: Sequence[Measured]
) -> Iterator[ComparisonTable]:
    lines = [
        (f"{column.label}, {structure}", *(column.text(each, structure) for each in entries))
        for column in columns
        for structure in structures_of(entries, published=True)
    ]
    if entries:
        head = ("", *(each.entry.name for each in entries))
        yield ComparisonTable(title, head, tuple(line for line in lines if any(line[1:])))


def _models_down(
    title: str, columns: Sequence[Column], entries: Sequence[Measured]
) -> Iterator[ComparisonTable]:
    lines = [
        (f"{each.entry.name}, {structure}", *(column.text(each, structure) for column in columns))
        for each in entries
        for structure in structures_of([each], published=True)
    ]
    if entries:
        head = ("model, structure", *(column.label for column in columns))
        yield ComparisonTable(title, head, tuple(line for line in lines if any(line[1:])))


def _printed(value: float | None) -> str:
    """As the paper has it: no digit more."""
    return "" if value is None else f"{value:g}"


def _with(value: str, spread: str) -> str:
    return f"{value} ± {spread}" if value and spread else value
