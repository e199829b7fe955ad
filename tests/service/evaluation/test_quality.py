"""Commissioning, drift and its acknowledgement, as a chart has them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from reviewed_structures import reviewed

from service.config.commissioning_section import Commissioning, DriftAlarm
from service.evaluation.charted import CHARTED
from service.evaluation.control_chart import Smoothing
from service.evaluation.quality import Plan, State, charts, commissioning_of
from service.evaluation.summary import group_of

PLAN = Plan(20, None, CHARTED["dsc"], Smoothing())
DAY = 86400.0


def cases(values, **fields):
    """A case a day."""
    return [
        reviewed(id=k, job_id=f"job{k}", received_at=k * DAY, measures={"dsc": v}, **fields)
        for k, v in enumerate(values)
    ]


USUAL = [0.80 + 0.01 * (7 * k % 20) for k in range(20)]


def test_a_structure_is_in_commissioning_until_it_has_its_cases():
    (chart,) = charts(cases(USUAL[:19]), PLAN, {})
    assert (chart.state, chart.limits, chart.drift) == (State.COMMISSIONING, None, None)
    (chart,) = charts(cases(USUAL), PLAN, {})
    assert chart.state is State.IN_CONTROL
    assert chart.limits is not None
    assert chart.limits.n == 20


def test_cases_that_become_worse_are_a_drift_until_somebody_acknowledges_it():
    worse = cases([*USUAL, *USUAL[:10], *[0.6] * 8])
    (chart,) = charts(worse, PLAN, {})
    assert chart.state is State.DRIFT
    assert chart.drift is not None
    assert chart.drift.began >= 30  # not before anything became worse
    (before,) = charts(worse[:30], PLAN, {})
    assert before.state is State.IN_CONTROL
    (after,) = charts(worse, PLAN, {group_of(worse[0], by_sender=False): [37.5 * DAY]})
    assert (after.state, after.drift) == (State.IN_CONTROL, None)
    assert [(each.began, each.acknowledged_at) for each in after.drifts] == [(chart.drift.began, 37.5 * DAY)]


def test_what_goes_on_drifting_after_it_was_acknowledged_is_a_new_drift():
    worse = cases([*USUAL, *[0.6] * 20])
    group = group_of(worse[0], by_sender=False)
    (chart,) = charts(worse, PLAN, {group: [29.5 * DAY]})
    assert [each.acknowledged_at for each in chart.drifts] == [29.5 * DAY, None]
    assert chart.state is State.DRIFT


def test_each_model_version_has_a_commissioning_of_its_own_and_so_has_the_shadow():
    old = cases(USUAL)
    new = [replace(each, id=100 + each.id, model="pelvis-ct@2.1") for each in cases([0.6] * 5)]
    shadow = [replace(each, id=200 + each.id, is_shadow=True) for each in new]
    found = charts([*old, *new, *shadow], PLAN, {})
    assert [(c.group.model, c.group.is_shadow, c.state) for c in found] == [
        ("pelvis-ct@2.0", False, State.IN_CONTROL),
        ("pelvis-ct@2.1", False, State.COMMISSIONING),
        ("pelvis-ct@2.1", True, State.COMMISSIONING),
    ]


def test_an_outlier_is_listed_with_its_case():
    (chart,) = charts(cases([*USUAL, 0.3, 0.9]), PLAN, {})
    assert [(case.job_id, point.value) for case, point in chart.outliers] == [("job20", 0.3)]
    assert chart.state is State.IN_CONTROL


def test_days_choose_the_commissioning_and_a_version_without_any_takes_its_first_cases():
    plan = replace(PLAN, window=(5 * DAY, 20 * DAY))
    inside = commissioning_of([k * DAY for k in range(30)], plan)
    assert [k for k, part in enumerate(inside) if part] == list(range(5, 20))
    later = commissioning_of([(100 + k) * DAY for k in range(25)], plan)
    assert [k for k, part in enumerate(later) if part] == list(range(20))
    few = commissioning_of([k * DAY for k in range(8, 16)], plan)
    assert not any(few)  # eight are too few for limits


@pytest.mark.parametrize("zone", ["UTC", "Europe/Stockholm"])
def test_days_are_those_of_the_nodes_time_zone(zone):
    days = Commissioning(from_day="2026-01-07", until_day="2026-02-01")
    plan = Plan.of(days, DriftAlarm(measure="hd95_mm", weight=0.2), zone)
    hour = 3600.0 if zone != "UTC" else 0.0
    assert plan.window == (
        datetime(2026, 1, 7, tzinfo=UTC).timestamp() - hour, datetime(2026, 2, 1, tzinfo=UTC).timestamp() - hour,
    )  # fmt: skip
    assert (plan.measure.key, plan.smoothing, plan.cases) == ("hd95_mm", Smoothing(0.2, 3.0), 30)
    assert Plan.of(Commissioning(), DriftAlarm(), zone).window is None
