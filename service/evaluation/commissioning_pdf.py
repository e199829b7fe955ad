"""The commissioning report as a PDF that a physicist can read, check and sign."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from service.backlog.review_records import GRADES
from service.errors import NodeError
from service.evaluation.commissioning_figures import draw_chart, draw_picture
from service.evaluation.commissioning_report import PLACES
from service.evaluation.guidance import guidance
from service.evaluation.html_report import told_kappa, told_state

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from service.evaluation.commissioning_report import CommissioningReport, StructureUnderTest

_A4_INCHES: Final = (8.27, 11.69)
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.09, 0.93, 0.95, 0.05
_LINE: Final = 0.0145  # of the height of a page, at 9 points
_CHARACTERS: Final = 97


class ReportRefused(NodeError):
    """The report cannot be made."""


class _Sheet:
    """A page that is filled from the top."""

    def __init__(self, footer: str) -> None:
        from matplotlib.backends.backend_pdf import FigureCanvasPdf
        from matplotlib.figure import Figure

        self.figure: Figure = Figure(figsize=_A4_INCHES)
        FigureCanvasPdf(self.figure)
        self.y = _TOP
        self.figure.text(_LEFT, _BOTTOM - 0.02, footer, fontsize=7, color="#555555")

    def heading(self, text: str, size: float = 13) -> None:
        self.y -= 0.010
        self.figure.text(_LEFT, self.y, text, fontsize=size, weight="bold", va="top")
        self.y -= 0.012 + size * 0.0012

    def paragraph(self, text: str, *, indent: str = "") -> None:
        lines = textwrap.wrap(text, _CHARACTERS, initial_indent=indent, subsequent_indent=" " * len(indent))
        self.figure.text(_LEFT, self.y, "\n".join(lines), fontsize=9, va="top", linespacing=1.25)
        self.y -= _LINE * len(lines) + 0.006

    def table(
        self, head: Sequence[str], lines: Sequence[Sequence[str]], widths: Sequence[float], size: float = 7.5
    ) -> None:
        """Column widths are parts of the width of the text."""
        from matplotlib.transforms import Bbox

        tall = _LINE * 1.15 * (len(lines) + 1)
        axis = self.figure.add_axes((_LEFT, self.y - tall, _RIGHT - _LEFT, tall))
        axis.set_axis_off()
        made = axis.table(
            [list(each) for each in lines],
            colLabels=list(head),
            colWidths=list(widths),
            bbox=Bbox.unit(),
            cellLoc="left",
        )
        made.auto_set_font_size(False)
        made.set_fontsize(size)
        for (row, _), cell in made.get_celld().items():
            cell.set_linewidth(0.4)
            cell.PAD = 0.03
            if row == 0:
                cell.set_text_props(weight="bold")
                cell.set_facecolor("#eef1f4")
        self.y -= tall + 0.012

    def room(self, lines: int) -> bool:
        """Whether so many lines still fit."""
        return self.y - lines * _LINE > _BOTTOM + 0.01


def write_pdf(report: CommissioningReport, file: Path) -> None:
    """Write the report; an earlier file is replaced.

    Raises:
        ReportRefused: ``report.no-matplotlib``, ``report.nothing-reviewed``.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ReportRefused("report.no-matplotlib", "The PDF needs matplotlib: install delineate[pictures].")
    if not report.structures:
        sentence = "No structure set came back that could be compared, so there is nothing to report on yet."
        raise ReportRefused("report.nothing-reviewed", sentence)
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import PdfPages

    title = {"Title": _footer(report), "Creator": f"Delineate {report.software}"}
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}),
        PdfPages(file, metadata=title) as pdf,
    ):
        for figure in sheets_of(report):
            pdf.savefig(figure)


def sheets_of(report: CommissioningReport) -> list[Figure]:
    """The pages: result and signatures, a page for each structure, guidance."""
    footer = _footer(report)
    structures = [_structure(each, footer) for each in report.structures]
    return [sheet.figure for sheet in (*_front(report, footer), *structures, *_guidance(footer))]


def _footer(report: CommissioningReport) -> str:
    return f"Commissioning of automatic contouring, node {report.node}, {report.made}"


def _front(report: CommissioningReport, footer: str) -> list[_Sheet]:
    sheet = _Sheet(footer)
    sheet.heading("Commissioning of automatic contouring", 18)
    sheet.paragraph(
        f"Node {report.node}, {report.made}. "
        f"Delineate {report.software}, configuration {report.configuration}."
    )
    sheet.heading("What was tested")
    for text in guidance().tested:
        sheet.paragraph(text)
    sheet.paragraph(report.rule)
    sheet.heading("Models")
    for model in report.models:
        said = "validated" if model.validated else "NOT VALIDATED"
        sheet.paragraph(f"{model.reference}, {said} by its card: {model.validation}")
        sheet.paragraph(f"SHA-256 of what does the work (weights or program): {model.sha256}", indent="   ")
        sheet.paragraph(f"Intended use: {model.intended_use}", indent="   ")
    sheets = [sheet]
    if not sheet.room(12 + len(report.structures)):
        sheets.append(_Sheet(footer))
    _result(sheets, report, footer)
    if not sheets[-1].room(16):
        sheets.append(_Sheet(footer))
    _signatures(sheets[-1])
    return sheets


def _result(sheets: list[_Sheet], report: CommissioningReport, footer: str) -> None:
    rows = [_line(each) for each in report.structures]
    head = (
        "structure",
        "protocol",
        "model",
        "cases",
        "measure",
        "median",
        "quartiles",
        "limit",
        "usable",
        "state",
    )
    widths = (0.14, 0.10, 0.13, 0.06, 0.07, 0.07, 0.12, 0.07, 0.07, 0.17)
    first = True
    while rows:
        sheet = sheets[-1]
        fit = int((sheet.y - _BOTTOM) / (_LINE * 1.15)) - 5
        if fit < 3:
            sheets.append(_Sheet(footer))
            continue
        if first:
            sheet.heading("Result")
            first = False
        sheet.table(head, rows[:fit], widths, size=6.5)
        rows = rows[fit:]
    sheets[-1].paragraph(
        "Limit: of single cases. Usable: grades acceptable and minor, by a reader where there is one. "
        f"Estimated and readers' grades: {told_kappa(report.agreement)}."
    )
    incomplete = sum(not each.is_complete for each in report.structures)
    if incomplete:
        sheets[-1].paragraph(
            f"NOT COMPLETE: {incomplete} of {len(report.structures)} lines lack cases for limits; their "
            "figures are of the cases so far, and no alarm watches them yet."
        )


def _line(each: StructureUnderTest) -> list[str]:
    chart, measure = each.chart, each.chart.measure
    values = [case.measures[measure.key] for case in each.cases]
    median, first, third = (measure.told(float(v)) for v in np.percentile(values, (50, 25, 75)))
    grades = each.grades()
    graded = sum(grades.values())
    usable = f"{100 * (grades['acceptable'] + grades['minor']) / graded:.0f} %" if graded else "–"
    limit = "–" if chart.limits is None else measure.told(chart.limits.limit)
    group = chart.group
    label = measure.label.split(" (")[0]
    return [group.structure, group.protocol, group.model, str(len(each.cases)), label, median,
            f"{first} – {third}", limit, usable, told_state(chart)]  # fmt: skip


def _signatures(sheet: _Sheet) -> None:
    sheet.heading("Released for clinical use, with the limits above")
    sheet.paragraph("Restrictions and remarks:")
    sheet.y -= 0.05
    for who in ("Medical physicist", "Radiation oncologist", "Head of department"):
        sheet.y -= 0.032
        for begin, end, said in ((0.0, 0.36, who), (0.40, 0.74, "Signature"), (0.78, 1.0, "Date")):
            x = [_LEFT + (_RIGHT - _LEFT) * each for each in (begin, end)]
            sheet.figure.add_artist(_rule(x, sheet.y))
            sheet.figure.text(x[0], sheet.y - 0.004, said, fontsize=7, color="#555555", va="top")


def _rule(x: Sequence[float], y: float) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D(list(x), [y, y], color="black", linewidth=0.7)


def _structure(each: StructureUnderTest, footer: str) -> _Sheet:
    sheet = _Sheet(footer)
    group, chart = each.chart.group, each.chart
    sheet.heading(f"{group.structure}, {group.protocol}, {group.model}", 14)
    sheet.paragraph(
        f"State: {told_state(chart)}. {len(each.cases)} cases in this report, {len(chart.points)} in all."
    )
    axis = sheet.figure.add_axes((_LEFT + 0.03, sheet.y - 0.21, _RIGHT - _LEFT - 0.03, 0.20))
    draw_chart(axis, chart)
    sheet.y -= 0.255
    rows = [(label, str(n), *told) for label, n, *told in each.figures()]
    sheet.table(("measure", "cases", "median", "first quartile", "third quartile", "worst"), rows,
                (0.35, 0.1, 0.13, 0.15, 0.15, 0.12))  # fmt: skip
    grades = each.grades()
    sheet.table(GRADES, [[str(grades[grade]) for grade in GRADES]], (0.25,) * 4)
    sheet.heading("Examples: the most changed slice", 11)
    sheet.paragraph("Blue, solid: as the node made it. Orange, dashed: as the reviewer left it.")
    wide = (_RIGHT - _LEFT - 0.04) / 3
    for number, place in enumerate(PLACES):
        if place in each.examples:
            corner = (_LEFT + number * (wide + 0.02), sheet.y - 0.235)
            axis = sheet.figure.add_axes((*corner, wide, 0.20))
            case = each.examples[place]
            told = chart.measure.told(case.measures[chart.measure.key])
            axis.set_title(f"{place}: {chart.measure.label} {told}\njob {case.job_id}", fontsize=8)
            draw_picture(axis, each.pictures.get(place))
    return sheet


def _guidance(footer: str) -> list[_Sheet]:
    sheet = _Sheet(footer)
    sheet.heading("What guidance asks for, and where it is")
    for source, asked, here in guidance().sources:
        sheet.paragraph(source)
        sheet.paragraph(f"asks for: {asked}", indent="   ")
        sheet.paragraph(f"here: {here}", indent="   ")
    sheet.heading("What this report does not show")
    for text in guidance().not_shown:
        sheet.paragraph(text)
    return [sheet]
