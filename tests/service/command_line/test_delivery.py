"""``echo``, ``resend`` and ``send`` as people type them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from delivery_desk import Desk, write_structure_set
from pydicom.uid import generate_uid
from running_node import ReceivingTps
from typer.testing import CliRunner

from service.backlog import engine
from service.backlog.ledger import LedgerRefused
from service.command_line.delivery import app
from service.errors import DeliveryFailed


@pytest.fixture
def tps() -> Iterator[ReceivingTps]:
    tps = ReceivingTps()
    yield tps
    tps.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr("service.log.start_logging", lambda: None)  # the log of these tests is pytest's
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


def delineate(desk: Desk, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*words, "--config", str(desk.config_file)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_echo_says_who_answers(desk: Desk, tps: ReceivingTps) -> None:
    desk.configure(tps.port)
    code, said = delineate(desk, "echo", "tps")
    assert (code, said) == (0, f"tps (TPS at 127.0.0.1:{tps.port}): answers\n")


def test_echo_of_all_fails_if_one_is_silent(desk: Desk) -> None:
    code, said = delineate(desk, "echo", "--all")
    assert code == 1
    assert "delivery.no-connection: Nothing answers" in said


def test_a_folder_is_not_asked_and_does_not_fail_the_others(desk: Desk, tps: ReceivingTps) -> None:
    desk.configure(tps.port)
    text = desk.config_file.read_text()
    desk.config_file.write_text(text.replace("protocols:", "  export: {folder: ./export}\nprotocols:"))
    code, said = delineate(desk, "echo", "--all")
    assert code == 0
    assert "export (./export): not asked, it is no Storage SCP" in said
    with pytest.raises(DeliveryFailed, match="with a Storage SCP alone"):
        delineate(desk, "echo", "export")


def test_echo_of_an_unknown_destination_names_those_there_are(desk: Desk) -> None:
    with pytest.raises(DeliveryFailed, match="no destination eclipse; it has: tps"):
        delineate(desk, "echo", "eclipse")


def test_a_folder_is_sent_with_what_is_no_dicom_left_out(
    desk: Desk, tps: ReceivingTps, tmp_path: Path
) -> None:
    folder = tmp_path / "patient" / "series"
    folder.mkdir(parents=True)
    for number in range(3):
        file = write_structure_set(folder / f"{number}.dcm")
        uid = generate_uid(entropy_srcs=[str(number)])[:15].rstrip(".").encode().ljust(15, b"1")
        file.write_bytes(file.read_bytes().replace(b"2.25.1234567890", uid))
    (folder / "notes.txt").write_text("not DICOM")
    desk.configure(tps.port)
    code, said = delineate(desk, "send", str(tmp_path / "patient"), "--to", "tps")
    assert code == 0
    assert said.endswith("3 of 4 files stored at tps.\n")
    assert len(tps.deliveries) == 3


def test_sending_to_a_destination_that_is_not_there_fails(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    write_structure_set(folder / "a.dcm")
    code, said = delineate(desk, "send", str(folder), "--to", "tps")
    assert code == 1
    assert "0 of 1 files stored" in said
    assert "delivery.no-connection" in said


def test_resend_puts_the_same_instance_into_the_queue(desk: Desk, tps: ReceivingTps) -> None:
    engine.migrate(desk.loaded.database_url)
    desk.configure(tps.port)
    delivery = desk.delivery()
    desk.deliver(delivery)
    code, said = delineate(desk, "resend", delivery.job_id, "--to", "tps")
    assert code == 0
    number = int(re.search(r"delivery (\d+)", said)[1])
    again = desk.ledger.delivery(number)
    assert (again.sop_instance_uid, again.generation) == (delivery.sop_instance_uid, 2)
    client = engine.EngineClient(desk.loaded.database_url)
    assert client.status(f"deliver:{number}:1") == "ENQUEUED"
    client.close()
    desk.deliver(again)
    assert tps.deliveries == [delivery.sop_instance_uid] * 2
    assert desk.states(again) == ("delivered", "done")


def test_a_destination_that_never_had_it_gets_the_set_of_its_profile(desk: Desk, tps: ReceivingTps) -> None:
    engine.migrate(desk.loaded.database_url)
    desk.configure(tps.port)
    delivery = desk.delivery()
    desk.deliver(delivery)
    code, _ = delineate(desk, "resend", delivery.job_id, "--to", "sender:SCANNER")
    assert code == 0
    new = desk.ledger.deliveries(delivery.job_id)[-1]
    assert (new.destination, new.generation) == ("sender:SCANNER", 1)
    assert new.file.samefile(delivery.file)


def test_a_job_that_nobody_knows_is_refused(desk: Desk) -> None:
    engine.migrate(desk.loaded.database_url)
    with pytest.raises(LedgerRefused):
        delineate(desk, "resend", "nosuchjob", "--to", "tps")


def test_resend_without_a_database_makes_none_and_says_what_to_do(desk: Desk) -> None:
    file = desk.loaded.storage / "delineate.sqlite"
    desk.ledger.close()
    for each in file.parent.glob("delineate.sqlite*"):
        each.unlink()
    with pytest.raises(LedgerRefused, match="delineate migrate"):
        delineate(desk, "resend", "nosuchjob", "--to", "tps")
    assert not file.exists()
