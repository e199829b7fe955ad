"""Lines of the summary, by cases that can be counted."""

from __future__ import annotations

import csv
import io

import pytest
from reviewed_structures import reviewed

from service.evaluation.summary import summarise, write_csv


def test_a_group_is_counted_with_median_quartiles_and_shares():
    lines = summarise(
        reviewed(
            id=k, job_id=f"job{k}", structure="Rectum",
            measures={"dsc": 0.80 + 0.05 * k, "contours_untouched": float(k == 4)},
            estimated_grade=grade, reader_grade="major" if k == 0 else None,
        )
        for k, grade in enumerate(["acceptable", "minor", "major", "not-acceptable", "acceptable"])
    )  # fmt: skip
    assert len(lines) == 1
    line = lines[0]
    assert (line.n, line.not_compared, line.by_readers) == (5, 0, 1)
    assert line.spreads["dsc"].median == pytest.approx(0.90)
    assert (line.spreads["dsc"].first_quartile, line.spreads["dsc"].third_quartile) == pytest.approx(
        (0.85, 0.95)
    )
    assert line.acceptable == pytest.approx(
        2 / 5
    )  # the reader's "major" counts, not the estimate's "acceptable"
    assert line.untouched == pytest.approx(1 / 5)
    assert "hd95_mm" not in line.spreads


def test_groups_differ_by_protocol_sender_version_and_shadow():
    cases = [
        reviewed(id=1, job_id="a"),
        reviewed(id=2, job_id="b", ct_sender="OTHER"),
        reviewed(id=3, job_id="c", model="pelvis-ct@2.1"),
        reviewed(id=4, job_id="d", protocol="prostate"),
        reviewed(id=5, job_id="e", is_shadow=True),
    ]
    assert len(summarise(cases)) == 5
    assert len(summarise(cases, by_sender=False)) == 4


def test_what_could_not_be_compared_is_counted_apart_and_what_a_later_set_replaced_not_at_all():
    cases = [
        reviewed(id=1, job_id="a"),
        reviewed(id=2, job_id="b", measures={}, code="review.other-grid", estimated_grade=None),
        reviewed(id=3, job_id="c", superseded=True),
    ]
    (line,) = summarise(cases)
    assert (line.n, line.not_compared) == (1, 1)


def test_a_spreadsheet_gets_a_line_a_group_and_no_formula():
    stream = io.StringIO()
    write_csv(summarise([reviewed(id=1, ct_sender="=CT1", measures={"dsc": 0.9})]), stream)
    head, line = list(csv.reader(io.StringIO(stream.getvalue())))
    found = dict(zip(head, line, strict=True))
    assert found["sender"] == "'=CT1"
    assert (found["n"], found["dsc_median"], found["hd95_mm_median"]) == ("1", "0.9", "")
