"""What a run prints: rows by their numbers, and what may not be asked for."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from service.__main__ import application
from service.command_line.pull_progress import Progress, ranges
from service.retrieval.choices import RowResult
from service.retrieval.report import Report


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], ""),
        ([7], "7"),
        ([3, 1, 2, 7], "1-3, 7"),
        (range(1, 100, 2), ", ".join(map(str, range(1, 40, 2))) + ", ..."),
    ],
)
def test_rows_are_named_shortly(rows, said):
    assert ranges(list(rows)) == said


def test_each_row_is_a_line_where_there_is_no_terminal(capsys):
    with Progress(3, clock=lambda: 0.0) as progress:  # all in a second
        progress.row(RowResult(1, [5], here=1, earlier=True))
        progress.row(RowResult(2, [6], pulled=1, images=120))
        progress.says("Paused: CT are pulled between 18:00-06:00 only")
        progress.says("Paused: CT are pulled between 18:00-06:00 only")
        progress.row(RowResult(3, code="pull.not-found", sentence="x"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "row 2: 1 CT pulled, 120 images, 0 were here; 2 of 3, 60.0 rows/min, about 0 min left"
    )
    assert lines[1:] == [
        "Paused: CT are pulled between 18:00-06:00 only",
        "row 3: pull.not-found; 3 of 3, 120.0 rows/min",
    ]


@pytest.mark.parametrize(
    ("outcomes", "troubles", "good"),
    [
        ({"contoured": 3, "waiting to be contoured": 1}, {}, True),
        ({"contoured": 3, "refused: series.hole": 1}, {}, False),
        ({"contoured": 3}, {"pull.not-found": [4]}, False),
    ],
)
def test_all_is_well_only_if_every_row_and_every_ct_is(outcomes, troubles, good):
    assert Report(4, 3, 0, 3, 0, 360, outcomes, troubles, {}).good is good


@pytest.mark.parametrize(
    "arguments",
    [["--since", "2024-13-01", "--patient", "1"], ["--list", "x.csv", "--study", "1.2"], ["--ahead", "0"]],
)
def test_what_cannot_be_asked(arguments):
    found = CliRunner().invoke(application(), ["pull", "--from", "pacs", *arguments])
    assert found.exit_code == 2
