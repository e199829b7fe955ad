"""What Prometheus is told: read from ledger, disk and processes when it asks, at most every 10 s."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

from service.backlog import ledger_tables as tables
from service.backlog.database import now
from service.backlog.records import DeliveryState, JobState
from service.backlog.refusals import read_refusals
from service.backlog.retention import size
from service.console.graphics_cards import graphics_cards
from service.node.heartbeat import ages_everywhere_seconds
from service.node.restarts import read_starts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from service.console.premises import Premises

_KEPT_SECONDS: Final = 10.0
_SIZE_KEPT_SECONDS: Final = 300.0
_REFUSED: Final = {
    "association": "Peers turned away, by reason and, where the configuration names it, AE title",
    "instance": "Instances refused, by reason and, where the configuration names it, AE title",
}
_LABELS_AT_MOST: Final = 200  # AE titles of a file are few; a label is never made of what a sender says


class Measures(Collector):
    """Collects when it is asked."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._lock = threading.Lock()
        self._kept: tuple[float, list[Metric]] = (0.0, [])
        self._size: tuple[float, int] = (0.0, 0)

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected to find out the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything."""
        with self._lock:
            at, found = self._kept
            if not found or time.monotonic() - at > _KEPT_SECONDS:
                found = [*self._of_ledger(), *self._of_machine()]
                self._kept = (time.monotonic(), found)
        yield from found

    def _of_ledger(self) -> Iterator[Metric]:
        with self._premises.ledger.reading() as conn:
            for measure in (_received, _jobs, _refused, _deliveries, _attempts, _waiting, _stage_seconds):
                yield from measure(conn)

    def _of_machine(self) -> Iterator[Metric]:
        storage, disk = self._premises.storage, self._premises.started_with.site.node.disk
        yield _gauge(
            "disk_free_bytes", "Free space where the storage folder lies", shutil.disk_usage(storage).free
        )
        yield _gauge("disk_reserve_bytes", "Free space below which no image is taken", disk.reserve_gb * 1e9)
        yield _gauge(
            "storage_bytes", "Size of the storage folder, looked at every 5 minutes", self._storage()
        )
        beats = GaugeMetricFamily(
            "delineate_heartbeat_age_seconds",
            "Since the last sign of life of a process",
            labels=["host", "process"],
        )
        for (host, role), age in ages_everywhere_seconds(storage).items():
            beats.add_metric([host, role], age)
        yield beats
        restarts = CounterMetricFamily(
            "delineate_restarts", "How often a process died and was started again", labels=["process"]
        )
        for role, starts in read_starts(storage).items():
            restarts.add_metric([role], max(0, starts - 1))
        yield restarts
        yield from _turned_away(storage)
        yield from graphics_cards()

    def _storage(self) -> int:
        at, found = self._size
        if not at or time.monotonic() - at > _SIZE_KEPT_SECONDS:
            found = size([self._premises.storage])
            self._size = (time.monotonic(), found)
        return found


def _turned_away(storage: Path) -> Iterator[Metric]:
    """Reasons are codes of ours, senders those of the configuration: neither is what a peer says."""
    families = {
        what: CounterMetricFamily(f"delineate_refused_{what}s", text, labels=["reason", "sender"])
        for what, text in _REFUSED.items()
    }
    for kind, count in sorted(read_refusals(storage).items()):
        if kind.what in families:
            families[kind.what].add_metric([kind.reason, kind.sender], count)
    yield from families.values()


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"delineate_{name}", text, value=value)


def _counted(
    family: Callable[..., GaugeMetricFamily | CounterMetricFamily],
    name: str,
    text: str,
    labels: list[str],
    rows: Iterable[sa.Row[Any]],
) -> Metric:
    metric = family(f"delineate_{name}", text, labels=labels)
    for row in list(rows)[:_LABELS_AT_MOST]:
        values = ["" if value is None else str(value) for value in tuple(row)[:-1]]
        metric.add_metric(values, float(str(row[-1])))
    return metric


def _received(conn: sa.Connection) -> Iterator[Metric]:
    s = tables.series
    yield _counted(
        GaugeMetricFamily, "series", "Series in the ledger by what became of them", ["state"],
        conn.execute(sa.select(s.c.state, sa.func.count()).group_by(s.c.state)),
    )  # fmt: skip
    instances = conn.execute(sa.select(sa.func.coalesce(sa.func.sum(s.c.instances), 0))).scalar_one()
    yield CounterMetricFamily(
        "delineate_instances_received", "Instances of all series in the ledger", value=float(instances)
    )


def _jobs(conn: sa.Connection) -> Iterator[Metric]:
    j = tables.job
    known = dict.fromkeys((state.value for state in JobState), 0)
    known |= {
        state: n for state, n in conn.execute(sa.select(j.c.state, sa.func.count()).group_by(j.c.state))
    }
    metric = GaugeMetricFamily("delineate_jobs", "Jobs in the ledger by state", labels=["state"])
    for state, count in known.items():
        metric.add_metric([state], count)
    yield metric


def _refused(conn: sa.Connection) -> Iterator[Metric]:
    """Both what was refused on arrival and what was refused when it was read."""
    s, j = tables.series, tables.job
    of_series = sa.select(sa.literal("series"), s.c.code, sa.func.count()).where(s.c.state == "refused")
    ended = j.c.state.in_([JobState.REFUSED.value, JobState.FAILED.value])
    of_jobs = sa.select(sa.literal("job"), j.c.code, sa.func.count()).where(ended)
    rows = [*conn.execute(of_series.group_by(s.c.code)), *conn.execute(of_jobs.group_by(j.c.code))]
    yield _counted(
        GaugeMetricFamily, "refused", "Series and jobs that ended badly, by reason", ["what", "reason"], rows
    )


def _deliveries(conn: sa.Connection) -> Iterator[Metric]:
    d = tables.delivery
    query = sa.select(d.c.destination, d.c.state, sa.func.count()).group_by(d.c.destination, d.c.state)
    text = "Deliveries in the ledger by destination and state"
    yield _counted(GaugeMetricFamily, "deliveries", text, ["destination", "state"], conn.execute(query))


def _attempts(conn: sa.Connection) -> Iterator[Metric]:
    a, d = tables.attempt, tables.delivery
    query = sa.select(d.c.destination, a.c.code, sa.func.count()).join(d, a.c.delivery_id == d.c.id)
    rows = conn.execute(query.where(a.c.ended_at.is_not(None)).group_by(d.c.destination, a.c.code))
    text = "Attempts to deliver by destination and outcome"
    yield _counted(CounterMetricFamily, "attempts", text, ["destination", "outcome"], rows)


def _waiting(conn: sa.Connection) -> Iterator[Metric]:
    """How much waits and how long the oldest has, in each queue."""
    j, d = tables.job, tables.delivery
    waiting = (DeliveryState.WAITING.value, DeliveryState.SENDING.value, DeliveryState.RETRYING.value)
    depth = GaugeMetricFamily("delineate_queue_depth", "What waits or runs in a queue", labels=["queue"])
    age = GaugeMetricFamily("delineate_queue_age_seconds", "Age of the oldest of them", labels=["queue"])
    queues: Mapping[str, tuple[sa.Table, sa.ColumnElement[bool]]] = {
        "contour": (j, j.c.state.in_([JobState.QUEUED.value, JobState.CONTOURING.value])),
        "deliver": (d, d.c.state.in_(waiting)),
    }
    for queue, (table, condition) in queues.items():
        query = sa.select(sa.func.count(), sa.func.min(table.c.created_at)).where(condition)
        count, oldest = conn.execute(query).one()
        depth.add_metric([queue], count)
        age.add_metric([queue], 0.0 if oldest is None else max(0.0, now() - oldest))
    yield depth
    yield age


def _stage_seconds(conn: sa.Connection) -> Iterator[Metric]:
    """Sums over all jobs in the ledger, from the JSON that each keeps."""
    sqlite = conn.dialect.name == "sqlite"
    value, each = ("t.value", "json_each") if sqlite else ("t.value::float8", "json_each_text")
    text = f"select t.key, count(*), sum({value}) from job, {each}(job.seconds) t group by t.key"  # noqa: S608 ours
    metric = SummaryMetricFamily("delineate_stage_seconds", "What each step of a job took", labels=["stage"])
    for stage, count, seconds in conn.execute(sa.text(text)):
        metric.add_metric([stage], count_value=count, sum_value=float(seconds))
    yield metric
