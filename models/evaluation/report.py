"""The report of an evaluation: one HTML file that can be mailed, printed and kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.evaluation.evaluation import Evaluation
from models.evaluation.figures import FOUND, METRICS
from models.evaluation.html_page import bullets, contents, heading, page, paragraph, picture, table
from models.evaluation.pictures import WorstCase
from models.evaluation.summary import (
    Statistics,
    contouring_times,
    counts,
    over_cases,
    over_slices,
    over_structures,
)

GLANCE: Final = ("DSC", "SD", "HD95_mm", "ASSD_mm", "volume_difference_percent")
RULES: Final = (
    "Missed (in the truth alone) or invented (in the answer alone): every overlap counts 0; there is no "
    "distance, so means of distances leave the case out. Read them together with how often that happened.",
    "Absent and not contoured: no figure. It is counted, and is in no mean.",
    "Unknown (nobody drew the structure in this case): left out and counted.",
    "A slice that shows neither mask is in no mean over slices; one that shows one of them counts 0 in "
    "DSC_slices and is left out of HD95_slices_mm.",
    "A CT that the model refused is in no mean; it is listed with the reason.",
)
LIMITS: Final = (
    "The truth is what was drawn. Contours of different people differ, and those of clinical structure sets "
    "are not always complete; no model can be better than that on these figures.",
    "Figures of different data sets cannot be compared: patients, contrast, slice thickness and guidelines "
    "differ.",
    "With few cases the mean moves by a case. Look at the spread, the worst cases and how many there are.",
    "No figure says whether a contour can be used. That is a clinician's judgement, slice by slice.",
    "Cases of one patient are not independent; the standard deviation treats them as if they were.",
)


def write_report(
    evaluation: Evaluation,
    boxes: Mapping[str, Path],
    worst: Sequence[tuple[WorstCase, Path]],
    file: Path,
    made: Mapping[str, str],
) -> None:
    """Write the report.

    Args:
        evaluation: what it tells.
        boxes: PNG of the box plot by metric.
        worst: the worst cases with their PNG, in the order in which they are shown.
        file: the HTML file.
        made: further lines of the first table, e.g. when and with which version it was made.
    """
    chapters = {
        "glance": ("At a glance", _glance(evaluation)),
        "boxes": ("Box plots", (picture(png, f"{name}, over cases") for name, png in boxes.items())),
        "figures": ("Every figure", _every_figure(evaluation)),
        "cases": ("Every case", _every_case(evaluation)),
        "worst": ("Worst cases", _worst(worst)),
        "times": ("Contouring time", _times(evaluation)),
        "definitions": ("Definitions and rules", _definitions(evaluation)),
        "limits": ("What this does not show", [bullets(LIMITS)]),
    }
    parts = [contents((text, anchor) for anchor, (text, _) in chapters.items()), *_setting(evaluation, made)]
    for anchor, (text, content) in chapters.items():
        parts += [heading(text, anchor), *content]
    file.write_text(page(f"Evaluation of {evaluation.setting.model}", parts), encoding="utf-8")


def _setting(evaluation: Evaluation, made: Mapping[str, str]) -> Iterator[str]:
    setting = evaluation.setting
    if not setting.validated:
        yield paragraph(
            "The card of this model says that it is not validated. These figures are no evidence of clinical "
            "accuracy.",
            "warning",
        )
    patients = len({case.patient for case in evaluation.cases})
    refused = len(evaluation.cases) - len(evaluation.answered)
    lines = {
        "model": setting.model,
        "SHA-256 of what does the work": setting.sha256,
        "weights": "" if setting.parameters is None else f"{setting.parameters:,}",
        "data": setting.data_source,
        "fingerprint of the data": setting.data_fingerprint,
        "part": setting.part or "all",
        "cases": f"{len(evaluation.cases)} of {patients} patients; refused by the model: {refused}",
        "structures compared": ", ".join(setting.structures),
        "offered, but not in the data": ", ".join(setting.not_in_data) or "none",
        "in the data, but not offered": ", ".join(setting.not_offered) or "none",
        "tolerance of SD and SO": f"{setting.tolerance_mm:g} mm",
        "device": setting.device,
        **made,
    }
    yield table("What was measured on what", ["", ""], lines.items(), words=True)


def glance(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the first table: what was found how often, and the main figures."""
    summary, counted = over_cases(evaluation), counts(evaluation)
    head = ["structure", *FOUND, "unknown", *GLANCE]
    lines = [
        [
            name,
            *(str(n) for n in counted[name].values()),
            *(spread(metric, summary[name][metric]) for metric in GLANCE),
        ]
        for name in evaluation.setting.structures
    ]
    return head, lines


def _glance(evaluation: Evaluation) -> Iterator[str]:
    caption = "Number of cases by what was found, and mean ± standard deviation (median) of the main figures"
    yield table(caption, *glance(evaluation))
    means = over_structures(evaluation)
    head = ["", "structures", "with background as one more"]
    lines = [
        [
            f"mean of {metric}",
            number(metric, means[f"m{metric}"]),
            number(metric, means[f"m{metric}_background"]),
        ]
        for metric in ("DSC", "HD95_mm")
    ]
    yield table("Over structures: mean of their means", head, lines)


def _every_figure(evaluation: Evaluation) -> Iterator[str]:
    summary, slices = over_cases(evaluation), over_slices(evaluation)
    head = ["structure", "n", "mean", "st. dev.", "median", "quartiles", "smallest", "largest"]
    for metric in METRICS:
        lines = [
            _line(structure, metric.name, summary[structure][metric.name])
            for structure in evaluation.setting.structures
        ]
        yield table(f"{metric.name}: {metric.definition} ({metric.better} is better)", head, lines)
        if metric.name in ("DSC_slices", "HD95_slices_mm"):
            pooled = [_line(name, metric.name, slices[name][metric.name]) for name in slices]
            yield table(f"{metric.name}, slices of all cases in one heap", head, pooled)


def _line(structure: str, metric: str, each: Statistics) -> list[str]:
    quartiles = f"{number(metric, each.q1)} to {number(metric, each.q3)}" if each.n else ""
    values = [number(metric, v) for v in (each.mean, each.sd, each.median)]
    return [
        structure,
        str(each.n),
        *values,
        quartiles,
        number(metric, each.minimum),
        number(metric, each.maximum),
    ]


def _every_case(evaluation: Evaluation) -> Iterator[str]:
    structures = evaluation.setting.structures
    for metric in ("DSC", "HD95_mm"):
        lines = []
        for case in evaluation.answered:
            cells = []
            for name in structures:
                figures = case.figures.get(name)
                value = None if figures is None else figures.values.get(metric)
                cells.append(number(metric, value) or ("unknown" if figures is None else figures.found))
            lines.append([case.name, case.patient, *cells])
        yield table(f"{metric} of each case", ["case", "patient", *structures], lines)
    refused = [[case.name, case.refused] for case in evaluation.cases if case.refused is not None]
    if refused:
        yield table("Refused by the model", ["case", "reason"], refused, words=True)
    warned = [[case.name, " ".join(case.warnings)] for case in evaluation.cases if case.warnings]
    if warned:
        yield table("What the model itself warns of", ["case", "warnings"], warned, words=True)


def _worst(worst: Sequence[tuple[WorstCase, Path]]) -> Iterator[str]:
    yield paragraph(
        "For each structure the cases with the lowest DSC, each at the slices where truth (blue) and answer "
        "(amber, dashed) differ most. Seen as the CT has it, window 400 HU about 40 HU."
    )
    for case, png in worst:
        yield picture(png, case.title)


def _times(evaluation: Evaluation) -> Iterator[str]:
    names = {
        "seconds": "a CT",
        "seconds_per_structure": "a structure of a CT",
        "seconds_per_slice": "a slice",
    }
    head = ["seconds for", "n", "mean", "st. dev.", "median", "quartiles", "smallest", "largest"]
    lines = [_line(names[name], "seconds", each) for name, each in contouring_times(evaluation).items()]
    yield table("Contouring time", head, lines)
    timed = [(case.name, str(case.slices), number("seconds", case.seconds)) for case in evaluation.answered]
    yield table("Of each case", ["case", "slices", "seconds"], timed)
    yield paragraph(
        "From the CT in memory to every structure on its grid, on the device named above; loading the model, "
        "reading the CT and drawing polygons are not in it. The first case also warms the device up, which "
        "the median does not mind."
    )


def _definitions(evaluation: Evaluation) -> Iterator[str]:
    lines = [[metric.name, metric.definition, metric.better, metric.of] for metric in METRICS]
    yield table("Metrics", ["name", "definition", "better", "paper"], lines, words=True)
    yield paragraph(
        "Distances are between centres of surface voxels (those with one of six neighbours outside); areas "
        f"are of marching cubes. Tolerance {evaluation.setting.tolerance_mm:g} mm. SD is the surface Dice. "
        "The standard deviation divides by n - 1."
    )
    yield bullets(RULES)


def number(metric: str, value: float | None) -> str:
    """As many digits as the metric deserves; empty where there is no value."""
    if value is None or not math.isfinite(value):
        return ""
    digits = 1 if metric.endswith("percent") else 2 if metric.endswith(("mm", "px", "cm3", "seconds")) else 3
    return f"{value:.{digits}f}"


def spread(metric: str, each: Statistics) -> str:
    """Mean ± SD (median), as far as there is any."""
    if not each.n:
        return ""
    sd = number(metric, each.sd)
    return f"{number(metric, each.mean)}{f' ± {sd}' if sd else ''} ({number(metric, each.median)})"
