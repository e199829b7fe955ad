"""Real archives asked for structure sets: what is new is fetched once, ours is left there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from archives import DCMQRSCP, ORTHANC, RunningArchive, dcmqrscp, orthanc
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    RTStructureSetStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)
from review_desk import CONFIG, ReviewDesk
from running_node import ReceivingTps, free_port

from service.backlog.spool import hashed
from service.config.reader import load
from service.node.destination_query import Asked, DestinationQuery, is_time

STORESCU = Path("/usr/bin/storescu")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ReviewDesk]:
    desk = ReviewDesk(tmp_path / "node")
    yield desk
    desk.ledger.close()


def query_of(desk: ReviewDesk, port: int, title: str) -> DestinationQuery:
    config = yaml.safe_load(CONFIG)
    config["destinations"]["tps"] |= {"port": port, "ae_title": title, "timeout_seconds": 20}
    config["evaluation"] = {"query": {"destinations": ["tps"]}}
    (desk.folder / "config.yaml").write_text(yaml.safe_dump(config))
    desk.loaded = load(desk.folder / "config.yaml", check_bundles=False)
    return DestinationQuery(lambda: desk.loaded, desk.ledger, desk.spool)


def stored_in(archive: RunningArchive, title: str, *files: Path) -> None:
    words = [str(STORESCU), "-aet", "TPS", "-aec", title, "127.0.0.1", str(archive.port), *map(str, files)]
    subprocess.run(words, check=True, timeout=60, capture_output=True)


@pytest.mark.peer
@pytest.mark.skipif(not STORESCU.exists(), reason="DCMTK (apt: dcmtk) is not installed")
@pytest.mark.parametrize(
    ("program", "run", "title"), [(DCMQRSCP, dcmqrscp, "QR"), (ORTHANC, orthanc, "ORTHANC")]
)
def test_a_set_of_the_clinic_is_fetched_by_c_get_and_compared_and_ours_is_left(
    desk: ReviewDesk, tmp_path: Path, program: Path, run, title: str
) -> None:
    if not program.exists():
        pytest.skip(f"{program} is not installed")
    job = desk.job()
    edited = desk.edited(job).trim("Bladder", superior=2)
    theirs, ours = tmp_path / "theirs.dcm", tmp_path / "ours.dcm"
    theirs.write_bytes(edited.encoded())
    ours.write_bytes((desk.spool.jobs / job.id / "rtstruct-generic.dcm").read_bytes())
    with run(tmp_path / "archive", free_port()) as archive:
        query = query_of(desk, archive.port, title)
        assert query.ask_all() == {"tps": Asked(found=0, new=0, fetched=0, answered=True)}
        stored_in(archive, title, theirs, ours)
        assert query.ask("tps") == Asked(found=1, new=1, fetched=1, answered=True)
        [file] = desk.spool.structure_sets.glob("*.dcm")
        assert file.stem == hashed(edited.sop_instance_uid)
        assert desk.worker.review(file.stem) is None
        assert query.ask("tps") == Asked(found=1, new=0, fetched=0, answered=True)
    [found] = desk.ledger.reviewed_sets()
    assert (found.found_by, found.sender, found.code) == ("query", title, None)
    [bladder] = desk.ledger.find_reviewed_structures(structure="Bladder")
    assert bladder.measures["slices_removed_superior"] == 2.0


class MoveOnly:
    """A destination that finds one set and knows C-MOVE alone; keeps whereto it was asked to send."""

    def __init__(self, study: str, uid: str) -> None:
        self.moved_to: list[tuple[str, str]] = []
        ae = AE("MOVER")
        for sop_class in (
            StudyRootQueryRetrieveInformationModelFind,
            StudyRootQueryRetrieveInformationModelMove,
        ):
            ae.add_supported_context(sop_class)
        ae.add_requested_context(RTStructureSetStorage)
        self._study, self._uid = study, uid
        self.target = ReceivingTps("DELINEATE")
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_MOVE, self._move)]
        self.server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = int(self.server.socket.getsockname()[1])

    def _find(self, event):
        answer = event.identifier
        if answer.StudyInstanceUID == self._study:
            answer.SeriesInstanceUID, answer.Modality = "2.25.77", "RTSTRUCT"
            if answer.QueryRetrieveLevel == "IMAGE":
                answer.SOPInstanceUID = self._uid
            yield 0xFF00, answer

    def _move(self, event):
        self.moved_to.append((str(event.move_destination), str(event.identifier.SOPInstanceUID)))
        yield "127.0.0.1", self.target.port
        yield 0

    def close(self) -> None:
        self.server.shutdown()
        self.target.close()


def test_who_does_not_offer_c_get_is_asked_to_send_it_to_us(desk: ReviewDesk) -> None:
    desk.job()
    mover = MoveOnly(desk.series.study_instance_uid, "2.25.78")
    try:
        query = query_of(desk, mover.port, "MOVER")
        assert query.ask("tps") == Asked(found=1, new=1, fetched=1, answered=True)
        assert mover.moved_to == [("DELINEATE", "2.25.78")]
        assert desk.ledger.was_queried(hashed("2.25.78"))
        assert query.ask("tps").new == 1  # it has not come yet
    finally:
        mover.close()


def test_a_destination_that_is_away_is_no_failure(desk: ReviewDesk) -> None:
    desk.job()
    assert query_of(desk, free_port(), "TPS").ask("tps") == Asked()


@pytest.mark.parametrize(
    ("local", "last", "day"),
    [
        ("2026-02-01T02:59", None, None),
        ("2026-02-01T03:00", None, "2026-02-01"),
        ("2026-02-01T03:20", "2026-02-01", None),
        ("2026-02-01T03:20", "2026-01-31", "2026-02-01"),
        ("2026-02-01T04:00", None, None),  # the node was away at night: the next night asks for the same
    ],
)
def test_it_is_asked_once_a_day_at_the_hour_of_the_site(
    local: str, last: str | None, day: str | None
) -> None:
    zone = "Europe/Stockholm"
    moment = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).timestamp()
    assert is_time("03:00", zone, last, moment) == day
