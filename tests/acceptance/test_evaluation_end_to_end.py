"""From CT to approved contours and back: what the clinic changed, when it began to change more, which model follows.

A node with a model and a candidate in its shadow gets phantom CTs week by week. A script edits each set that
it sends as a clinician would, in a known way, and DCMTK sends the result back. Then every measure is what the
edit implies; the week in which the guideline changed raises the alarm, for that structure and no other; and
once the candidate, which follows the new guideline, is promoted, the charts show its work.

The short form is part of the suite; ``make evaluation`` has 60 CTs.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pydicom
import pytest
import sqlalchemy as sa
import yaml
from databases import SQLITE_FIRST, database_of
from known_edits import (
    BOXES,
    EDITS,
    EXTENDED_SLICES,
    TOLERANCE_MM,
    ct,
    edited,
    expected,
    longer,
    mask_of,
    write_box_bundle,
)
from running_node import ReceivingTps, RunningNode, running_node, send_ct, wait_until

from models.data_sets.data_set import DataSet
from service.backlog import review_tables
from service.backlog.audit import AuditTrail
from service.backlog.ledger import Ledger
from service.backlog.records import JobState
from service.backlog.review_records import MEASURES, ReviewedStructure
from service.backlog.trial_names import shadow_name
from service.config.reader import load
from service.evaluation.drift import DriftWatch, acknowledgements
from service.evaluation.quality import StructureChart, charts, plan_of

STORESCU = "/usr/bin/storescu"

pytestmark = [
    pytest.mark.evaluation,
    pytest.mark.slow,
    pytest.mark.peer,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not Path(STORESCU).exists(), reason="needs DCMTK"),
]

WEEK_SECONDS = 7 * 86400.0
LONGEST_SECONDS = 300.0  # on a machine that is very busy
SETTLED_SECONDS = 2.0  # a file that has been still for a second counts
USUAL = ("untouched", "shifted", "trimmed", "smoothed")
OLD, NEW = "old@1.0", "new@1.0"
BY_MODEL = {
    OLD: {name: mask_of(box) for name, box in BOXES.items()},
    NEW: {"Bladder": mask_of(longer(BOXES["Bladder"])), "Rectum": mask_of(BOXES["Rectum"])},
}


@dataclass(frozen=True)
class Course:
    """How many CTs come in each week, and how the alarm is set for so many."""

    commissioning: int
    stable: int
    changed: int
    promoted: int
    alarm: dict[str, float]


SHORT = Course(10, 1, 2, 2, {"weight": 0.3, "width": 1.5})
LONG = Course(20, 10, 10, 20, {"weight": 0.1, "width": 3.0})
COURSE = LONG if os.environ.get("EVALUATION") == "long" else SHORT


@dataclass
class Clinic:
    """The node, a TPS, and what is known of each CT.

    Attributes:
        edits: by series, what was done to each ROI.
        model: that sends; the other contours in the shadow.
    """

    folder: Path
    node: RunningNode
    ledger: Ledger
    tps: ReceivingTps
    begins_at: float
    model: str = OLD
    edits: dict[str, dict[str, str]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def week(self, number: int, cases: int, *, guideline_changed: bool) -> None:
        """CTs come, are contoured, edited and sent back; the sets count for this week."""
        sent = [self._send() for _ in range(cases)]
        for _, _, series in sent:
            self.tps.wait_for_series(series, seconds=LONGEST_SECONDS)
            wait_until(lambda of=series: self._shadow_is_done(of), LONGEST_SECONDS)
        outgoing = self.folder / f"week-{number}"
        outgoing.mkdir()
        for index, files, series in sent:
            (made,) = self.tps.of_series(series)
            edits = self._edits(index, guideline_changed=guideline_changed)
            edited(made, files, edits, index).save_as(outgoing / f"{index:03}.dcm", enforce_file_format=True)
            self.edits[series] = edits
            self.models[series] = self.model
        done = subprocess.run(
            [STORESCU, "-aet", "TPS", "-aec", "DELINEATE", "127.0.0.1", str(self.node.port), "+sd", outgoing],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        wait_until(lambda: self._sets() == self.count, LONGEST_SECONDS)
        self._date(number, cases)

    def _send(self) -> tuple[int, list[Path], str]:
        self.count += 1
        index = self.count
        files = ct(self.folder / f"ct-{index}", index, f"PHANTOM{index:03}")
        assert set(send_ct(files, self.node.port)) == {0x0000}
        return index, files, str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)

    def _edits(self, index: int, *, guideline_changed: bool) -> dict[str, str]:
        usual = USUAL[index % len(USUAL)]
        if not guideline_changed:
            return {"Bladder": usual, "Rectum": usual}
        wanted = "extended" if self.model == OLD else "untouched"
        return {"Bladder": wanted, "Rectum": usual}

    def _shadow_is_done(self, series: str) -> bool:
        job = self.ledger.latest_job(series, shadow_name("pelvis"))
        return job is not None and job.state is JobState.DONE

    def _sets(self) -> int:
        return len(self.ledger.reviewed_sets())

    def _date(self, number: int, cases: int) -> None:
        """The sets that came just now came in this week, an hour apart: the ledger is told."""
        s, t = review_tables.reviewed_set, review_tables.reviewed_structure
        newest = sorted(self.ledger.reviewed_sets(), key=lambda each: each.id)[-cases:]
        with self.ledger.begin() as conn:
            for hour, each in enumerate(newest):
                at = self.begins_at + number * WEEK_SECONDS + hour * 3600.0
                conn.execute(sa.update(s).where(s.c.id == each.id).values(received_at=at))
                conn.execute(sa.update(t).where(t.c.set_id == each.id).values(received_at=at))

    def reviewed(self) -> list[ReviewedStructure]:
        return self.ledger.find_reviewed_structures()

    def charts(self) -> dict[tuple[str, str, bool], StructureChart]:
        """By structure, model and whether in the shadow, as the pages show them."""
        plan = plan_of(load(self.node.config_file).site)
        known = acknowledgements(AuditTrail(self.ledger), plan)
        found = charts(self.reviewed(), plan, known)
        return {(each.group.structure, each.group.model, each.group.is_shadow): each for each in found}

    def alarms(self) -> list[str]:
        """Sentences of what the watchdog would tell now."""
        site = load(self.node.config_file).site
        watch = DriftWatch(self.ledger, AuditTrail(self.ledger), lambda: plan_of(site))
        return [alarm.sentence for alarm in watch()]

    def series_of_job(self, job_id: str) -> str:
        return self.ledger.series(self.ledger.job(job_id).series_id).series_instance_uid


def config_of(folder: Path, port: int, database: str) -> dict[str, object]:
    for model, masks in (("old", dict(BOXES)), ("new", BOXES | {"Bladder": longer(BOXES["Bladder"])})):
        write_box_bundle(folder / "bundles" / model, masks)
    return {
        "node": {
            "quiet_seconds": 0.3,
            "hard_timeout_seconds": 30.0,
            "database": database,
            "bundles": [str(folder / "bundles")],
        },
        "senders": {"CTSCANNER": None, "TPS": None},
        "destinations": {"tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": port}},
        "protocols": {
            "pelvis": {"model": OLD, "shadow": NEW, "structures": dict.fromkeys(BOXES)},
        },
        "routes": [
            {
                "name": "ct",
                "when": {"Modality": "CT"},
                "contour": "pelvis",
                "send_to": ["tps"],
                "mode": "send",
            }
        ],
        "evaluation": {
            "tolerance_mm": TOLERANCE_MM,
            "commissioning": {"cases": COURSE.commissioning},
            "alarm": COURSE.alarm,
            "training": {"consent": "all"},
        },
    }


@pytest.fixture(scope="module", params=SQLITE_FIRST)
def clinic(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """After the whole course; what is looked at afterwards changes nothing."""
    folder = tmp_path_factory.mktemp("clinic")
    tps = ReceivingTps()
    try:
        with (
            database_of(request.param) as database,
            running_node(folder, config_of(folder, tps.port, database)) as node,
            node.ledger() as ledger,
        ):
            yield Clinic(folder, node, ledger, tps, begins_at=time.time() - 10 * WEEK_SECONDS)
    finally:
        tps.close()


def test_the_course(clinic: Clinic) -> None:
    """One after the other: each week builds on the one before."""
    clinic.week(1, COURSE.commissioning, guideline_changed=False)
    assert clinic.alarms() == []
    clinic.week(2, COURSE.stable, guideline_changed=False)
    assert clinic.alarms() == []
    assert len(clinic.tps.deliveries) == clinic.count, "the candidate has sent nothing"

    clinic.week(3, COURSE.changed, guideline_changed=True)
    (alarm,) = clinic.alarms()
    assert alarm.startswith(f"Bladder of protocol pelvis by {OLD} is changed more in review than before")
    the_drift_began_in_the_third_week(clinic)
    measures_are_what_the_edits_imply(clinic)
    promoted_and_seen_in_the_charts(clinic)
    approved_cases_become_a_data_set(clinic)


def the_drift_began_in_the_third_week(clinic: Clinic) -> None:
    found = clinic.charts()
    drifting = {key: chart for key, chart in found.items() if chart.drifts}
    assert list(drifting) == [("Bladder", OLD, False)], "the rectum does not drift"
    (drift,) = drifting["Bladder", OLD, False].drifts
    begins = clinic.begins_at + 3 * WEEK_SECONDS
    assert begins <= drift.at < begins + WEEK_SECONDS


def measures_are_what_the_edits_imply(clinic: Clinic) -> None:
    rows = clinic.reviewed()
    assert len(rows) == clinic.count * 2 * len(BOXES), "both models, every structure, every CT"
    for row in rows:
        series = clinic.series_of_job(row.job_id)
        sender = clinic.models[series]
        assert row.is_shadow is (row.model != sender)
        assert (row.protocol, row.approval, row.code) == ("pelvis", "APPROVED", None)
        edit = clinic.edits[series][row.structure]
        implied = implied_by(edit, row.structure, sender, row.model)
        assert set(row.measures) == set(MEASURES) == set(implied)
        for name, value in implied.items():
            assert row.measures[name] == pytest.approx(value, abs=1e-6), (
                row.structure,
                edit,
                row.model,
                name,
            )


@cache
def implied_by(edit: str, structure: str, sender: str, model: str) -> dict[str, float]:
    """The measures of a model on a set that another, or the same, sent and that was edited so."""
    return expected(BY_MODEL[model][structure], EDITS[edit](BY_MODEL[sender][structure]))


def promoted_and_seen_in_the_charts(clinic: Clinic) -> None:
    shown = clinic.node.command("promote", "pelvis", "--yes").stdout
    line = next(line for line in shown.splitlines() if line.startswith("│ Bladder"))
    cells = [cell.strip() for cell in line.split("│") if cell.strip()]
    usual = COURSE.commissioning + COURSE.stable
    assert cells[1] == str(clinic.count)
    # With the old guideline the candidate's slices are too many, with the new one exactly those wanted.
    assert cells[-3:] == [str(COURSE.changed), str(usual), "0"]
    protocol = yaml.safe_load(clinic.node.config_file.read_text())["protocols"]["pelvis"]
    assert (protocol["model"], protocol["shadow"]) == (NEW, OLD)
    saved_at = clinic.node.config_file.stat().st_mtime
    wait_until(lambda: time.time() - saved_at > SETTLED_SECONDS, LONGEST_SECONDS)

    clinic.model = NEW
    clinic.week(4, COURSE.promoted, guideline_changed=True)
    found = clinic.charts()
    new = found["Bladder", NEW, False]
    assert [point.value for point in new.points] == [1.0] * COURSE.promoted
    assert new.points[0].at >= clinic.begins_at + 4 * WEEK_SECONDS
    assert len(found["Bladder", OLD, False].points) == usual + COURSE.changed
    in_shadow = found["Bladder", OLD, True]
    slices = BOXES["Bladder"][0][1] - BOXES["Bladder"][0][0]
    implied = 2 * slices / (2 * slices + EXTENDED_SLICES)
    assert [point.value for point in in_shadow.points] == pytest.approx([implied] * COURSE.promoted)
    assert len(clinic.tps.deliveries) == clinic.count, "the old model sends nothing any more"
    measures_are_what_the_edits_imply(clinic)
    assert len(clinic.alarms()) == 1, "the one that nobody has acknowledged, and no other"


def approved_cases_become_a_data_set(clinic: Clinic) -> None:
    out = clinic.folder / "data"
    clinic.node.command("data", "from-node", "--out", str(out), "--keep-aside", "0.3", "--validation", "0")
    data = DataSet.open(out)
    assert len(data.names()) == clinic.count
    assert data.names("test"), "somebody is kept aside"
    wanted = {
        tuple(EDITS[edits["Bladder"]](BY_MODEL[clinic.models[series]]["Bladder"]).sum(axis=(1, 2)))
        for series, edits in clinic.edits.items()
    }
    for name in data.names():
        case = data.read(name)
        assert set(case.masks) == set(BOXES)
        assert tuple(case.masks["Bladder"].sum(axis=(1, 2))) in wanted
