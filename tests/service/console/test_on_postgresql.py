"""The same answers over PostgreSQL: what is counted, searched and told does not hang on SQLite's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from console_desk import PASSWORD, Desk
from postgresql import Cluster, Unavailable
from prometheus_client.parser import text_string_to_metric_families
from reviewed_structures import reviewed, write_down
from starlette.testclient import TestClient

from service.backlog import engine
from service.backlog.accounts import Accounts
from service.backlog.ledger import Ledger
from service.backlog.records import SeriesState
from service.backlog.roles import Role
from service.backlog.spool import Spool
from service.backlog.watchdog import Watchdog
from service.config.reader import WatchedSite
from service.console.application import application
from service.console.premises import Premises
from service.evaluation.drift import DriftWatch
from service.evaluation.quality import plan_of

pytestmark = pytest.mark.peer
CONFIG = """
node: {{storage: ./var, database: "{url}", disk: {{reserve_gb: 0.001}}}}
console: {{port: 0}}
senders: {{SCANNER: {{addresses: [127.0.0.1]}}}}
destinations: {{eclipse: {{ae_title: ECLIPSE, host: 127.0.0.1, port: 1}}}}
protocols: {{external: {{model: external@1.0, structures: {{External: }}}}}}
routes: [{{name: all, when: {{Modality: CT}}, contour: external, send_to: [eclipse], mode: send}}]
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    try:
        server = Cluster()
    except Unavailable as reason:
        pytest.skip(str(reason))
    url = server.new_database()
    (tmp_path / "config.yaml").write_text(CONFIG.format(url=url.replace("+psycopg", "")))
    Spool(tmp_path / "var")
    ledger = Ledger(url, tmp_path / "var")
    ledger.migrate()
    engine.migrate(url)
    for role in Role:
        Accounts(ledger).add(role.value, role, PASSWORD)
    ledger.close()
    premises = Premises(WatchedSite(tmp_path / "config.yaml"))
    app = application(premises)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        made = Desk(tmp_path, premises, client)
        made.server = server
        yield made
    premises.close()
    server.close()


def test_every_page_of_the_api_over_postgresql(desk) -> None:
    job = desk.delivered_job().id
    other = desk.job("2.25.2").id
    desk.series("2.25.3", SeriesState.REFUSED, "series.hole")

    def get(path: str):
        answer = desk.client.get(path, headers=desk.as_("administrator"))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def search(**asked: object) -> list[str]:
        answer = desk.client.post("/api/v1/jobs/search", json=asked, headers=desk.as_("reader"))
        assert answer.status_code == 200, answer.text
        return [each["job"] for each in answer.json()["jobs"]]

    assert search(text="lindq") == [other, job]
    assert search(text="%") == []
    assert search(destination="eclipse", states=["done"], sender="SCANNER", since=1.0) == [job]
    assert get(f"/api/v1/jobs/{job}")["deliveries"][0]["attempts"][1]["status"] == 0
    assert get("/api/v1/status")["jobs"] == {"done": 1, "queued": 1}
    assert get("/api/v1/destinations")[0]["last_code"] == "delivery.stored"
    assert get("/api/v1/senders")[0]["refused"] == {"series.hole": 1}
    held = desk.client.post(f"/api/v1/jobs/{other}/hold", headers=desk.as_("operator"))
    assert held.json()["state"] == "held"
    assert {"received", "sent", "looked", "changed"} <= {each["deed"] for each in get("/api/v1/audit")}
    text = desk.client.get("/metrics", headers=desk.as_("reader")).text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["delineate_stage_seconds_sum", "infer"] == 2.5
    assert samples["delineate_attempts_total", "eclipse", "delivery.stored"] == 1
    assert samples["delineate_jobs", "held"] == 1


def test_a_database_that_is_away_is_said_and_comes_back(desk) -> None:
    job = desk.job().id
    session = {"name": "reader", "password": PASSWORD}
    assert desk.client.post("/api/v1/session", json=session).status_code == 200
    desk.server.crash()
    answer = desk.client.get(f"/api/v1/jobs/{job}")
    assert (answer.status_code, answer.json()["code"]) == (503, "console.database-unavailable")
    assert desk.client.get("/health").status_code == 200
    checks = {each["name"]: each["good"] for each in desk.client.get("/ready").json()["checks"]}
    assert checks["database"] is False
    desk.server.start()
    assert desk.client.get(f"/api/v1/jobs/{job}").status_code == 200


def test_a_drift_is_told_once_acknowledged_and_a_structure_graded_over_postgresql(desk) -> None:
    values = [*(0.80 + 0.01 * (7 * k % 30) for k in range(30)), *[0.5] * 10]
    ids = write_down(desk.ledger, [reviewed(week=k / 10, dsc=v) for k, v in enumerate(values)])
    told: list[str] = []
    notify = SimpleNamespace(tell=lambda code, _sentence, _job: told.append(code))
    premises = desk.premises
    for _ in range(2):  # two processes that watch
        drifts = DriftWatch(desk.ledger, premises.audit, lambda: plan_of(premises.loaded().site))
        node = premises.loaded().site.node
        Watchdog(desk.ledger, node, premises.storage, dict, notify, drifts).look()
    assert told == ["quality.drift"]
    which = {"structure": "Bladder", "protocol": "pelvis", "model": "pelvis-ct@2.0"}
    headers = desk.as_("operator")
    assert desk.client.post("/api/v1/quality/acknowledge", json=which, headers=headers).status_code == 200
    graded = desk.client.put(
        f"/api/v1/quality/reviews/{ids[0]}/grade", json={"grade": "major"}, headers=headers
    )
    assert graded.json() == {"review": ids[0], "grade": "major"}
    (said,) = desk.client.get("/api/v1/quality", headers=headers).json()
    assert (said["state"], said["cases"], said["outliers"]) == ("in-control", 40, 10)
    assert desk.client.get("/quality/Bladder", headers=headers).status_code == 200
