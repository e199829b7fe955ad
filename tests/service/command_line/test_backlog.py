"""The administrator's commands, as they are typed: what they print, change and refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.volume import Finding, Provenance
from service.backlog import engine
from service.backlog.ledger import Ledger, contour_key
from service.backlog.records import (
    DeliveryState,
    JobState,
    Mode,
    PatientIdentity,
    ReceivedInstance,
    ReceivedSeries,
    SeriesState,
)
from service.backlog.spool import Spool
from service.command_line.backlog import app

CONFIG = """
node: {storage: ./var, timezone: Europe/Stockholm}
senders: {SCANNER: {addresses: [127.0.0.1]}}
destinations: {eclipse: {ae_title: ECLIPSE, host: 127.0.0.1, port: 11113}}
protocols: {external: {model: external@1.0, structures: {External: }}}
routes: [{name: all, when: {Modality: CT}, contour: external, send_to: [eclipse], mode: send}]
"""
NOON = 1_767_265_200.0  # 2026-01-01 12:00:00 in Stockholm


class Desk:
    """A node's folder with a ledger, and the commands run on it."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG)
        self.storage = folder / "var"
        self.url = f"sqlite:///{self.storage / 'delineate.sqlite'}"
        self.ledger = Ledger(self.url)
        self.ledger.migrate()
        engine.migrate(self.url)
        self.client = engine.EngineClient(self.url)
        self.spool = Spool(self.storage)

    def run(self, *words: str, code: int = 0, answer: str | None = None) -> str:
        """What a command prints; it must end with ``code``."""
        words = (*words, "--config", str(self.config))
        result = CliRunner().invoke(app, list(words), input=answer, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.output

    def refused(self, *words: str) -> str:
        """The sentence with which a command is refused."""
        from service.errors import NodeError

        with pytest.raises(NodeError) as error:
            self.run(*words)
        return str(error.value)

    def series(self, uid="2.25.1", identity=None, state=SeriesState.ROUTED, sentence=None):
        file = self.spool.store(uid, f"{uid}.1", [b"CT"]).file
        place = ("1.2.840.10008.5.1.4.1.1.2", f"{uid}.1", "2.25.9", uid, "1.2", "SCANNER", "DELINEATE")
        instance = ReceivedInstance(*place, "127.0.0.1", NOON, file)
        sender = ("SCANNER", "DELINEATE", "127.0.0.1")
        series = ReceivedSeries(uid, "2.25.9", *sender, file.parent, (instance,), NOON, NOON + 2)
        whose = identity or PatientIdentity(
            "4711", "Lindqvist^Åsa", "19510203", "F", study_description="Pelvis"
        )
        with self.ledger.begin() as conn:
            return self.ledger.record_series(conn, series, whose, state, "series.no-route", sentence), file

    def job(self, uid="2.25.1", identity=None, **fields):
        row, file = self.series(uid, identity)
        known = {
            "destinations": ("eclipse",),
            "mode": Mode.SEND,
            "priority": 100,
            "config_version": "0123456789ab",
        }
        with self.ledger.begin() as conn:
            job = self.ledger.create_job(
                conn, series_id=row, protocol="external", files=[file], routes=("all",), **(known | fields)
            )
            self.client.submit(conn, "contour", contour_key(job.id), job.id)
        return job

    def delivered_job(self):
        job = self.job()
        file = self.spool.job_folder(job.id) / "rtstruct.dcm"
        file.write_bytes(b"RT")
        with self.ledger.begin() as conn:
            self.ledger.move_job(conn, job.id, JobState.CONTOURING)
            said = Provenance("pelvis-ct", "2.0", "ab" * 32, validated=False)
            finding = Finding("structure.cut", "Cut off at the top.", "Bladder")
            self.ledger.record_segmentation(conn, job.id, said, [finding], {"Bladder": 123.4}, {"infer": 2.5})
            made = self.ledger.create_delivery(
                conn, job_id=job.id, destination="eclipse", file=file, sop_instance_uid="2.25.7"
            )
            self.ledger.move_job(conn, job.id, JobState.DELIVERING)
        for status, state in ((0xA700, DeliveryState.RETRYING), (0, DeliveryState.DELIVERED)):
            n = self.ledger.start_attempt(made.id)
            sentence = "It is full." if status else "It is there."
            self.ledger.finish_attempt(made.id, n, status=status, code="x", sentence=sentence, state=state)
        return job


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.client.close()
    made.ledger.close()


def test_status_counts_what_there_is(desk):
    desk.job()
    said = desk.run("status")
    assert "Jobs        1 queued" in said
    assert "Series      1 routed" in said
    assert "Queue contour   1 enqueued" in said
    assert "Deliveries  none" in said
    assert "GB free (C-STORE stops under 2 GB)" in said
    document = json.loads(desk.run("status", "--json"))
    assert document["jobs"] == {"queued": 1}
    assert document["engine"]["contour"]["enqueued"] == 1
    assert document["disk"]["budget_gb"] is None


def test_status_names_the_keys_that_wait_for_a_restart(desk):
    started_with = desk.config.parent / "var" / "config.at-start.yaml"
    started_with.write_text(desk.config.read_text())
    assert "restart" not in desk.run("status")
    desk.config.write_text(CONFIG.replace("storage: ./var", "storage: ./var, quiet_seconds: 5"))
    assert "Waits for a restart of the node: node.quiet_seconds" in desk.run("status")
    assert json.loads(desk.run("status", "--json"))["restart_needed"] == ["node.quiet_seconds"]


def test_jobs_lists_them_with_whose_they_are(desk):
    first = desk.job()
    desk.job("2.25.2", PatientIdentity("0815", "山田^太郎"))
    said = desk.run("jobs")
    assert first.id in said
    assert "Lindqvist^Åsa" in said
    assert "山田^太郎" in said


def test_jobs_are_found_by_patient_and_state(desk):
    first = desk.job()
    second = desk.job("2.25.2", PatientIdentity("0815"), state=JobState.HELD)
    assert [each["job"] for each in json.loads(desk.run("jobs", "--patient", "4711", "--json"))["jobs"]] == [
        first.id
    ]
    assert [each["job"] for each in json.loads(desk.run("jobs", "--state", "held", "--json"))["jobs"]] == [
        second.id
    ]
    assert "No jobs." in desk.run("jobs", "--patient", "404")


def test_an_unknown_state_is_explained(desk):
    assert "states are queued, contouring" in desk.run("jobs", "--state", "lost", code=2).replace("\n", " ")


def test_series_without_a_job_are_listed_with_the_reason(desk):
    desk.series(state=SeriesState.UNROUTED, sentence="No route takes it.")
    said = desk.run("jobs")
    assert "Series without a job:" in said
    assert "No route takes it." in said
    (series,) = json.loads(desk.run("jobs", "--json"))["series_without_jobs"]
    assert (series["state"], series["patient"]["patient_id"]) == ("unrouted", "4711")


def test_a_name_cannot_colour_or_command_the_terminal(desk):
    desk.job(identity=PatientIdentity("1", "[red]Smith:smile:\x1b[2J^X"))
    said = desk.run("jobs")
    assert "[red]Smith:smile: [2J^X" in said
    assert "\x1b" not in said


def test_show_tells_the_whole_story_with_times(desk):
    job = desk.delivered_job()
    said = desk.run("show", job.id)
    for part in (
        f"{job.id}: done",
        "4711  Lindqvist^Åsa, 19510203, F",
        "SCANNER at 127.0.0.1, called DELINEATE",
        "2026-01-01 12:00:00 to 2026-01-01 12:00:02",
        "external by all, mode send, priority 100",
        "pelvis-ct@2.0 on cpu, synthetic data only: NOT FOR CLINICAL USE",
        "infer 2.5 s",
        "123.4",
        "Warning: Bladder: Cut off at the top.",
        "0xA700",
        "It is full.",
        "0x0000",
        "It is there.",
        "series.no-route",
        "job.done",
    ):
        assert part in said


def test_show_as_json_has_every_attempt_and_event(desk):
    job = desk.delivered_job()
    story = json.loads(desk.run("show", job.id, "--json"))
    assert (story["job"], story["state"], story["volumes_cm3"]) == (job.id, "done", {"Bladder": 123.4})
    assert story["series"]["first"] == "2026-01-01T12:00:00.000+01:00"
    (delivery,) = story["deliveries"]
    assert [(each["n"], each["status"]) for each in delivery["attempts"]] == [(1, 0xA700), (2, 0)]
    assert story["findings"][0]["structure"] == "Bladder"
    assert story["events"][-1]["code"] == "job.done"


def test_a_job_that_is_not_there_is_refused(desk):
    assert "no such job" in desk.refused("show", "nonesuch")
    assert "no such job" in desk.refused("retry", "nonesuch")


def test_cancel_retry_hold_release_and_priority_change_the_job(desk):
    job = desk.job()
    assert desk.run("hold", job.id) == f"Job {job.id} is held.\n"
    assert desk.run("priority", job.id, "1") == f"Job {job.id} is held.\n"
    assert desk.run("release", job.id) == f"Job {job.id} is queued.\n"
    assert desk.run("cancel", job.id) == f"Job {job.id} is cancelled.\n"
    assert desk.run("retry", job.id) == f"Job {job.id} is queued.\n"
    assert desk.ledger.job(job.id).priority == 1
    assert desk.client.under_way() == {contour_key(job.id, 3)}
    who = {event.who for event in desk.ledger.story(job.id).events}
    assert who - {None}  # the person's login


def test_what_is_not_possible_is_refused_with_the_reason(desk):
    job = desk.delivered_job()
    assert "is done" in desk.refused("cancel", job.id)
    assert "not held" in desk.refused("release", job.id)


def test_holding_what_is_being_contoured_says_when(desk):
    job = desk.job()
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, job.id, JobState.CONTOURING)
    assert "will be held when that is done" in desk.run("hold", job.id)


def test_purge_says_what_it_would_do_and_does_it(desk):
    job = desk.delivered_job()
    assert "Would delete 0 series" in desk.run("purge", "--dry-run")
    from service.backlog import ledger_tables as tables

    with desk.ledger.begin() as conn:
        conn.execute(tables.job.update().values(updated_at=NOON))
    import os

    for file in job.files:
        os.utime(file, (NOON, NOON))
    said = desk.run("purge", "--dry-run")
    assert said.startswith("Would delete 1 series")
    assert job.folder.is_dir()
    assert desk.run("purge").startswith("Deleted 1 series")
    assert not job.folder.exists()


def test_what_is_named_is_listed_asked_about_once_and_then_forgotten(desk):
    import os

    job = desk.delivered_job()
    for file in job.files:
        os.utime(file, (NOON, NOON))
    from service.backlog import ledger_tables as tables

    with desk.ledger.begin() as conn:
        conn.execute(tables.job.update().values(updated_at=NOON))
    asked = ("purge", "--patient", "4711")
    assert desk.run(*asked, "--dry-run").startswith("Would delete 1 series")
    assert "Nothing was deleted." in desk.run(*asked, answer="n\n")
    assert job.folder.is_dir()
    said = desk.run(*asked, answer="y\n")
    assert "Deleted 1 series" in said
    assert "no longer says whose 1 series were" in said
    assert not job.folder.exists()
    assert "Lindqvist" not in desk.run("jobs")
    assert desk.run("purge", "--job", job.id, "--yes").startswith("Would delete 0 series")


def test_what_is_under_way_is_said_and_stays(desk):
    job = desk.job()
    said = desk.run("purge", "--job", job.id, "--yes", code=1)
    assert "Not touched: 1 series under way." in said
    assert all(file.is_file() for file in job.files)


def test_two_things_at_once_are_not_purged(desk):
    assert "name one of" in desk.run("purge", "--job", "a", "--patient", "b", code=2)


def test_without_a_database_one_is_told_what_to_do(tmp_path):
    desk = Desk.__new__(Desk)
    desk.config = tmp_path / "config.yaml"
    desk.config.write_text(CONFIG)
    assert "delineate migrate" in desk.refused("status")
    assert not (tmp_path / "var" / "delineate.sqlite").exists()
    assert desk.run("migrate") == "The database is up to date.\n"
    assert "No jobs." in desk.run("jobs")


def test_the_commands_are_known_without_heavy_imports():
    import subprocess

    program = (
        "import sys; from service.command_line import backlog; "
        "print({'dbos', 'sqlalchemy', 'torch', 'pydicom'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
