"""Overviews are made once, and anew when a review, a grade or an acknowledgement came."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from reviewed_structures import reviewed, write_down

from service.backlog import review_tables
from service.evaluation.charted import CHARTED
from service.evaluation.control_chart import Smoothing
from service.evaluation.drift import acknowledge
from service.evaluation.overview import Wanted, overview
from service.evaluation.overviews import Overviews
from service.evaluation.quality import Plan, State
from service.evaluation.summary import Group

PLAN = Plan(10, None, CHARTED["dsc"], Smoothing())
ROWS = [reviewed(week=k / 10, dsc=v) for k, v in enumerate([0.8 + 0.01 * k for k in range(10)] + [0.5] * 20)]


@pytest.fixture
def overviews(ledger, audit):
    write_down(ledger, ROWS)
    return Overviews(ledger, audit)


def test_what_was_asked_before_is_not_made_again(overviews, ledger, audit):
    first = overviews.get(PLAN, Wanted())
    assert first == overview(ledger, audit, PLAN, Wanted())
    assert overviews.get(PLAN, Wanted()) is first
    assert overviews.get(PLAN, Wanted(structure="Rectum")).charts == []


def test_a_new_review_a_grade_and_an_acknowledgement_are_seen_at_once(overviews, ledger, audit):
    assert overviews.get(PLAN, Wanted()).charts[0].state is State.DRIFT
    acknowledge(ledger, audit, PLAN, Group("Bladder", "pelvis", "pelvis-ct@2.0", is_shadow=False), "somebody")
    assert overviews.get(PLAN, Wanted()).charts[0].state is State.IN_CONTROL
    (row,) = write_down(ledger, [reviewed("Rectum", estimated_grade="minor")])
    assert [each.group.structure for each in overviews.get(PLAN, Wanted()).charts] == ["Bladder", "Rectum"]
    with ledger.begin() as conn:
        ledger.grade(conn, row, "major", "somebody")
    assert overviews.get(PLAN, Wanted()).agreement.n == 1


def test_a_set_that_was_compared_anew_is_seen_after_a_minute(overviews, ledger, monkeypatch):
    t = review_tables.reviewed_structure
    assert overviews.get(PLAN, Wanted()).charts[0].points[0].value == 0.8
    with ledger.begin() as conn:
        conn.execute(t.update().where(t.c.id == 1).values(measures={"dsc": 0.7}))
    assert overviews.get(PLAN, Wanted()).charts[0].points[0].value == 0.8
    later = time.monotonic() + 61
    monkeypatch.setattr("service.evaluation.overviews.time.monotonic", lambda: later)
    assert overviews.get(PLAN, Wanted()).charts[0].points[0].value == 0.7


def test_another_configuration_is_another_overview(overviews):
    assert overviews.get(PLAN, Wanted()).charts[0].limits is not None
    assert overviews.get(replace(PLAN, cases=500), Wanted()).charts[0].limits is None


def test_since_narrows_the_figures_and_not_the_charts(overviews):
    found = overviews.get(PLAN, Wanted(since=ROWS[25].received_at))
    assert (found.lines[0].n, len(found.charts[0].points)) == (5, 30)
