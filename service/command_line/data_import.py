"""``delineate data import``: what a planning system exports becomes a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from service.command_line.data_refusals import refusals
from service.command_line.tables import printable

if TYPE_CHECKING:
    from service.training_data.import_report import ImportReport
    from service.training_data.import_run import Track
    from service.training_data.remarks import Remark

app = typer.Typer()

T = TypeVar("T")

_SHOWN_OF_EACH = 3


class Prefer(StrEnum):
    """Which of several structure sets of one CT counts where they disagree."""

    NONE = "none"
    APPROVED = "approved"
    NEWEST = "newest"


class PatientBy(StrEnum):
    """What tells patients apart."""

    ID = "id"
    FOLDER = "folder"


Names = Annotated[
    list[Path] | None,
    typer.Option(
        help="file of ROI names, repeatable; overrules the shipped list", exists=True, dir_okay=False
    ),
]
Structures = Annotated[str | None, typer.Option(help="only these, with commas, e.g. Bladder,Rectum,CTVn")]
Records = Annotated[
    Path | None, typer.Option(help="where report and list of patients go [OUT-records]", file_okay=False)
]
Anonymise = Annotated[
    bool, typer.Option("--anonymise", help="keep nothing on disk that leads back to a patient")
]
EmptyIsAbsent = Annotated[
    bool, typer.Option("--empty-is-absent", help="an empty ROI says that the patient lacks the structure")
]
Share = Annotated[float, typer.Option(min=0, max=1, help="share of the patients")]
ReportOnly = Annotated[
    bool, typer.Option("--report-only", help="look at everything but the pixels; make no data set")
]


@app.command("import")
def import_(  # noqa: PLR0913, PLR0917 - each argument is one option of the command
    folder: Annotated[
        Path, typer.Argument(help="CT with RT Structure Sets, or NIfTI", exists=True, file_okay=False)
    ],
    out: Annotated[Path, typer.Option(help="the data set: a new or empty folder", file_okay=False)],
    names: Names = None,
    structures: Structures = None,
    records: Records = None,
    anonymise: Anonymise = False,
    patient: Annotated[
        PatientBy, typer.Option(help="what tells patients apart: Patient ID, or the first folder")
    ] = PatientBy.ID,
    prefer: Annotated[
        Prefer, typer.Option(help="which of several structure sets counts where they disagree")
    ] = Prefer.NONE,
    empty_is_absent: EmptyIsAbsent = False,
    seed: Annotated[int, typer.Option(help="of the draw of the parts")] = 1,
    validation: Share = 0.15,
    test: Share = 0.15,
    licence: Annotated[str, typer.Option(help="of the data, in words")] = "",
    report_only: ReportOnly = False,
) -> None:
    """Make a data set of every CT below FOLDER that structures are drawn on; report all that is not taken.

    Nothing is guessed: what contradicts itself is left out with a reason. Stopped or killed, the same command
    goes on where it was.
    """
    from service.training_data.case_drawing import Rules
    from service.training_data.import_run import ImportPlan, run_import

    if validation + test >= 1:
        raise typer.BadParameter("--validation and --test together leave nothing to train on")
    wanted = None if structures is None else frozenset(filter(None, map(str.strip, structures.split(","))))
    plan = ImportPlan(
        root=folder.resolve(),
        out=out,
        records=records or out.resolve().with_name(f"{out.resolve().name}-records"),
        names=tuple(names or ()),
        rules=Rules(prefer.value, empty_is_absent, wanted),
        anonymise=anonymise,
        patient_by=patient.value,
        seed=seed,
        shares={"train": 1 - validation - test, "validation": validation, "test": test},
        licence=licence,
        report_only=report_only,
    )
    data = None if report_only else out
    import_visibly(lambda report, track: run_import(plan, report, track), plan.records, data)


def import_visibly(
    run: Callable[[ImportReport, Track], None], records: Path, data: Path | None
) -> ImportReport:
    """Run an import and print its report, which is then in ``records``; the data set, if any, in ``data``.

    Raises:
        DataRefused: as the import; the report is printed if not one case could be made.
    """
    from service.errors import DataRefused
    from service.training_data.import_report import ImportReport

    report = ImportReport()
    try:
        with refusals():
            run(report, _tracked)
    except DataRefused as refused:
        if refused.code != "data.empty":
            raise
        _print_report(report)
        print(f"The whole report is in {records}")
        raise
    _print_report(report)
    made = "" if data is None else f", the data set in {data}"
    print(f"The whole report is in {records}{made}")
    return report


def _tracked(items: Sequence[T], description: str) -> Iterable[T]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    def going() -> Iterator[T]:
        columns = (TextColumn(f"{description:<18}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns) as progress:
            yield from progress.track(items)

    return going()


def _print_report(report: ImportReport) -> None:
    from models.data_sets.data_set import PARTS

    unmatched = report.unmatched_names()
    if unmatched:
        print("Names that stand for no structure; what is wanted goes into a file for --names:")
    for name, times in unmatched.most_common():
        like = report.suggestions.get(name, "")
        print(f"  {times:>5} x {printable(name)}" + (f"   (like {like})" if like else ""))
    _print_remarks(report.all_remarks())
    if report.structures:
        print("Structures, and in how many cases they are known:")
    for structure in report.structures:
        volumes = sorted(case.volumes_cm3[structure] for case in report.known_in(structure))
        middle = volumes[len(volumes) // 2]
        print(f"  {structure:<18}{len(volumes):>5} of {len(report.cases)}, about {middle:.1f} cm3")
    parts = ", ".join(f"{len(report.cases_in(part))} {part}" for part in PARTS)
    print(f"{len(report.cases)} cases of {len(report.parts)} patients: {parts}")


def _print_remarks(remarks: Sequence[Remark]) -> None:
    """By code, with the first few places of each."""
    from itertools import groupby

    from service.training_data.remarks import Weight

    for (weight, code), group in groupby(remarks, key=lambda one: (one.weight, one.code)):
        same = list(group)
        if weight is Weight.NOTE or code == "roi.name-unknown":
            continue
        print(f"{weight.value}: {code}, {len(same)} times")
        for one in same[:_SHOWN_OF_EACH]:
            where = " / ".join(filter(None, (one.folder, one.roi, one.structure if not one.roi else "")))
            print(printable(f"  {where or 'the data set'}: {one.sentence}"))
        if len(same) > _SHOWN_OF_EACH:
            print(f"  and {len(same) - _SHOWN_OF_EACH} more in the report")
