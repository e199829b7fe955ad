"""Who may have what contoured: a route that names its callers is for nobody else."""

from __future__ import annotations

import pytest

from service.backlog.records import SeriesState

ROUTE = {"contour": "external", "send_to": ["tps"], "mode": "send"}


@pytest.mark.parametrize(
    ("allowed", "caller", "state", "jobs"),
    [
        (["ECLIPSE"], "ECLIPSE", SeriesState.ROUTED, 1),
        (["ECLIPSE"], "OTHER", SeriesState.UNROUTED, 0),
        (["ECLIPSE", "OTHER"], "OTHER", SeriesState.ROUTED, 1),
        (["!OTHER"], "OTHER", SeriesState.UNROUTED, 0),
    ],
)
def test_a_series_of_another_caller_is_kept_and_not_contoured(make_desk, allowed, caller, state, jobs):
    desk = make_desk(routes=[ROUTE | {"name": "for some", "when": {"Modality": "CT", "calling_ae": allowed}}])
    assert desk.send(range(1, 7), calling=caller) == [0] * 6
    desk.wait(5)
    assert desk.series().state is state
    assert len(desk.jobs()) == jobs


def test_a_route_of_one_called_title_is_not_taken_by_another(make_desk):
    desk = make_desk(
        node={"quiet_seconds": 3, "also_called": ["PELVIS"]},
        routes=[ROUTE | {"name": "pelvis", "when": {"called_ae": "PELVIS", "calling_ae": ["ECLIPSE"]}}],
    )
    desk.send(range(1, 7))  # calls DELINEATE
    desk.wait(5)
    assert desk.series().state is SeriesState.UNROUTED
