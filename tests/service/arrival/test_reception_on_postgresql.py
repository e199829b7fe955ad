"""The ledger's side of arrival on PostgreSQL: the same rows in the same transactions."""

from __future__ import annotations

import pytest
from postgresql import Cluster, Unavailable

from service.backlog.records import JobState, SeriesState

pytestmark = pytest.mark.peer
SLICES = range(10)


@pytest.fixture(scope="module")
def server():
    try:
        running = Cluster()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield running
    running.close()


@pytest.fixture
def desk(server, make_desk):
    return make_desk(url=server.new_database())


def test_a_series_becomes_a_job_and_a_late_slice_overtakes_it(desk):
    desk.send(SLICES)
    desk.wait(4)
    (job,) = desk.jobs()
    assert (desk.series().state, job.state) == (SeriesState.ROUTED, JobState.QUEUED)
    assert desk.engine.under_way() == {f"contour:{job.id}:1"}
    desk.send([10])
    desk.wait(4)
    first, second = desk.jobs()
    assert (first.state, second.state, len(second.files)) == (JobState.SUPERSEDED, JobState.QUEUED, 11)
    assert desk.engine.under_way() == {f"contour:{second.id}:1"}


def test_a_database_that_goes_away_delays_a_series_and_loses_nothing(server, desk):
    desk.send(range(5))
    server.crash()
    assert desk.send(range(5, 10)) == [0] * 5, "what is sent meanwhile is stored and acknowledged"
    desk.wait(4)
    server.start()
    desk.wait(400, step=10)
    (job,) = desk.jobs()
    assert len(job.files) == 10
