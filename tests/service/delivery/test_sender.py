"""A delivery over its attempts: recorded before and after, tried again, given up, and never silently."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from pynetdicom.events import Event

from service.backlog.records import DeliveryState, JobState, ReceivedSeries

Start = Callable[..., Any]


def test_a_delivery_that_is_stored_ends_its_job(desk: Any, scp: Start) -> None:
    desk.configure(scp().port)
    delivery = desk.delivery()
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("delivered", "done")
    (attempt,) = desk.attempts(delivery)
    assert (attempt.n, attempt.status, attempt.code) == (1, 0, "delivery.stored")
    assert desk.told.messages == []


def test_an_attempt_is_in_the_ledger_before_the_association(desk: Any, scp: Start) -> None:
    seen: list[object] = []

    def look(_event: Event) -> int:
        (attempt,) = desk.attempts(delivery)
        seen.append((attempt.n, attempt.ended_at, *desk.states(delivery)))
        return 0x0000

    desk.configure(scp(look).port)
    delivery = desk.delivery()
    desk.deliver(delivery)
    assert seen == [(1, None, "sending", "delivering")]


def test_a_failure_comes_back_later_and_later(desk: Any) -> None:
    delivery = desk.delivery()  # nothing listens at port 1
    waits, keys = [], []
    for _ in range(3):
        again = desk.deliver(delivery)
        waits.append(again.delay_seconds)
        keys.append(again.key)
        assert (again.payload, again.partition, again.priority) == (str(delivery.id), "tps", 7)
        assert desk.states(delivery) == ("retrying", "delivering")
        time.sleep(max(0.0, again.delay_seconds - 0.9))
    assert waits == [0.3, 0.6, 1.0]
    assert keys == [f"deliver:{delivery.id}:{n}" for n in (2, 3, 4)]
    assert [attempt.code for attempt in desk.attempts(delivery)] == ["delivery.no-connection"] * 3


def test_a_corrected_port_counts_for_the_next_attempt(desk: Any, scp: Start) -> None:
    delivery = desk.delivery()
    again = desk.deliver(delivery)
    desk.configure(scp().port)
    time.sleep(again.delay_seconds)
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("delivered", "done")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (0xA900, "delivery.unlike-class"),
        (0xC001, "delivery.not-understood"),
        (0x0124, "delivery.not-authorized"),
    ],
)
def test_a_refusal_is_a_dead_letter_and_is_told(status: int, code: str, desk: Any, scp: Start) -> None:
    desk.configure(scp(lambda _event: status).port)
    delivery = desk.delivery()
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("dead", "failed")
    ((told, sentence, job_id),) = desk.told.messages
    assert (told, job_id) == (code, delivery.job_id)
    assert sentence.startswith("Structure set for tps: ")
    assert f"{status:04X}h" in sentence


def test_coerced_elements_are_delivered_with_an_alarm(desk: Any, scp: Start) -> None:
    desk.configure(scp(lambda _event: 0xB000).port)
    delivery = desk.delivery()
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("delivered", "done")
    assert desk.told.codes == ["delivery.coerced"]
    assert desk.attempts(delivery)[0].status == 0xB000


@pytest.mark.parametrize("status", [0xB006, 0xB007, 0x0111])
def test_other_warnings_are_delivered_without_one(status: int, desk: Any, scp: Start) -> None:
    desk.configure(scp(lambda _event: status).port)
    delivery = desk.delivery()
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("delivered", "done")
    assert desk.told.messages == []
    assert desk.attempts(delivery)[0].status == status


def test_a_rejection_is_told_once_and_tried_slowly(desk: Any, scp: Start) -> None:
    retry = "{first_seconds: 0.02, factor: 1.0, longest_seconds: 60.0, give_up_hours: 48.0}"
    desk.configure(scp(require_called_aet=True, title="OTHER").port, retry=retry)
    delivery = desk.delivery()
    for _ in range(3):
        again = desk.deliver(delivery)
        assert again.delay_seconds == pytest.approx(12 * 0.02)
    assert desk.told.codes == ["delivery.association-rejected"]
    assert desk.states(delivery) == ("retrying", "delivering")


def test_after_the_hours_of_the_configuration_it_is_given_up_and_told(desk: Any) -> None:
    desk.configure(1, retry="{first_seconds: 0.1, factor: 1.0, longest_seconds: 1.0, give_up_hours: 0.0001}")
    delivery = desk.delivery()  # 0.36 s
    rounds = 0
    while (again := desk.deliver(delivery)) is not None:
        time.sleep(again.delay_seconds)
        rounds += 1
        assert rounds < 10
    assert desk.states(delivery) == ("dead", "failed")
    assert desk.told.codes[-1] == "delivery.given-up"
    assert "Nothing answers" in desk.told.messages[-1][1]


def test_a_destination_that_is_away_for_long_is_told_once_before_it_is_given_up(desk: Any) -> None:
    desk.configure(1, retry="{first_seconds: 0.1, factor: 1.0, longest_seconds: 1.0, give_up_hours: 0.002}")
    delivery = desk.delivery()  # 7.2 s; a 48th is 0.15 s
    for _ in range(6):
        time.sleep(desk.deliver(delivery).delay_seconds)
    assert desk.told.codes == ["delivery.no-connection"]
    assert "gives up after 0.002 h" in desk.told.messages[0][1]


def test_a_destination_that_left_the_configuration_is_told_and_waits(desk: Any, scp: Start) -> None:
    delivery = desk.delivery(destination="gone")
    again = desk.deliver(delivery)
    assert again is not None
    assert desk.told.codes == ["delivery.no-such-destination"]
    assert desk.states(delivery) == ("retrying", "delivering")


def test_a_set_returns_to_the_address_that_sent_the_ct(desk: Any, scp: Start) -> None:
    desk.configure(scp(title="SCANNER", require_called_aet=True).port)
    delivery = desk.delivery(destination="sender:SCANNER")
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("delivered", "done")


def test_a_set_for_one_sender_never_goes_to_the_address_of_another(desk: Any, scp: Start) -> None:
    stored: list[object] = []
    desk.configure(scp(lambda event: stored.append(event) or 0x0000, title="SCANNER").port)
    delivery = desk.delivery("sender:SCANNER")
    row = desk.ledger.series(desk.ledger.job(delivery.job_id).series_id)
    with desk.ledger.begin() as conn:  # the same images, sent by somebody else
        other = ReceivedSeries(
            row.series_instance_uid, row.study_instance_uid, "OTHER", "DELINEATE", "192.0.2.7",
            row.folder, (), 1.0, 3.0,
        )  # fmt: skip
        desk.ledger.record_series(conn, other, row.identity, row.state)
    assert desk.ledger.sender_address(row.id, "OTHER") == "192.0.2.7"
    assert desk.ledger.sender_address(row.id, "NOBODY") is None
    assert desk.deliver(delivery) is None
    assert len(stored) == 1


def test_a_purged_file_is_a_dead_letter_with_a_sentence(desk: Any, scp: Start) -> None:
    desk.configure(scp().port)
    delivery = desk.delivery()
    delivery.file.unlink()
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("dead", "failed")
    assert desk.told.codes == ["delivery.file-missing"]
    assert "contour the series again" in desk.attempts(delivery)[0].sentence


def test_another_instance_under_the_same_name_is_never_sent(desk: Any, scp: Start) -> None:
    received = []
    desk.configure(scp(lambda event: received.append(event) or 0x0000).port)
    delivery = desk.delivery()
    delivery.file.write_bytes(delivery.file.read_bytes().replace(b"2.25.1234567890", b"2.25.1234567891"))
    assert desk.deliver(delivery) is None
    assert received == []
    assert desk.told.codes == ["delivery.other-instance"]


@pytest.mark.parametrize("state", [DeliveryState.HELD, DeliveryState.CANCELLED])
def test_what_is_held_or_cancelled_is_not_sent(state: DeliveryState, desk: Any, scp: Start) -> None:
    received = []
    desk.configure(scp(lambda event: received.append(event) or 0x0000).port)
    delivery = desk.delivery()
    with desk.ledger.begin() as conn:
        desk.ledger.move_delivery(conn, delivery.id, state)
    assert desk.deliver(delivery) is None
    assert received == []
    assert desk.states(delivery)[0] == state.value
    assert desk.attempts(delivery) == []


@pytest.mark.parametrize(
    ("job_state", "state"),
    [(JobState.SUPERSEDED, "cancelled"), (JobState.CANCELLED, "cancelled"), (JobState.HELD, "held")],
)
def test_a_set_whose_job_was_stopped_does_not_leave(
    job_state: JobState, state: str, desk: Any, scp: Start
) -> None:
    received = []
    desk.configure(scp(lambda event: received.append(event) or 0x0000).port)
    delivery = desk.delivery()
    with desk.ledger.begin() as conn:
        desk.ledger.move_job(conn, delivery.job_id, job_state)
    assert desk.deliver(delivery) is None
    assert received == []
    assert desk.states(delivery) == (state, job_state.value)


def test_a_transfer_that_ends_well_counts_although_it_was_held_meanwhile(desk: Any, scp: Start) -> None:
    def hold(_event: Event) -> int:
        with desk.ledger.begin() as conn:
            desk.ledger.move_delivery(conn, delivery.id, DeliveryState.HELD)
        return 0x0000

    desk.configure(scp(hold).port)
    delivery = desk.delivery()
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("delivered", "done")


def test_a_row_that_comes_back_too_early_waits_without_an_attempt(desk: Any) -> None:
    desk.configure(1, retry="{first_seconds: 50.0, factor: 1.0, longest_seconds: 50.0, give_up_hours: 1.0}")
    delivery = desk.delivery()
    first = desk.deliver(delivery)
    again = desk.deliver(delivery)  # as after a crash between our commit and the engine's
    assert again.key != first.key
    assert 45 < again.delay_seconds <= 50
    assert len(desk.attempts(delivery)) == 1


def test_a_clock_that_was_set_back_keeps_nothing_waiting(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = desk.delivery()
    desk.deliver(delivery)
    seven_hours_ago = time.time() - 7 * 3600
    monkeypatch.setattr("service.delivery.sender.time.time", lambda: seven_hours_ago)
    desk.deliver(delivery)
    assert len(desk.attempts(delivery)) == 2


def test_a_row_of_an_ended_delivery_does_nothing(desk: Any, scp: Start) -> None:
    desk.configure(scp().port)
    delivery = desk.delivery()
    desk.deliver(delivery)
    assert desk.deliver(delivery) is None
    assert len(desk.attempts(delivery)) == 1


ONE_ATTEMPT = """
import sys
from pathlib import Path
from service.backlog.ledger import Ledger
from service.config.reader import load
from service.delivery.sender import Sender
loaded = load(Path(sys.argv[1]), check_bundles=False)
class Nobody:
    def tell(self, *message): pass
Sender(Ledger(loaded.database_url, loaded.storage), lambda: loaded, Nobody()).deliver(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("failpoint", "arrived_before"),
    [("deliver.before-send", 0), ("deliver.sending", 0), ("deliver.after-success", 1)],
)
def test_a_process_killed_in_the_middle_sends_the_same_instance_again(
    failpoint: str, arrived_before: int, desk: Any, scp: Start
) -> None:
    received: list[str] = []

    def keep(event: Event) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    desk.configure(scp(keep).port)
    delivery = desk.delivery(megabytes=1)
    run = subprocess.run(
        [sys.executable, "-P", "-c", ONE_ATTEMPT, str(desk.config_file), str(delivery.id)],
        env=os.environ | {"DELINEATE_FAILPOINTS": failpoint},
        timeout=30,
    )
    assert run.returncode == -signal.SIGKILL
    assert len(received) == arrived_before
    assert desk.states(delivery) == ("sending", "delivering")
    assert desk.deliver(delivery) is None
    assert desk.states(delivery) == ("delivered", "done")
    assert received == [delivery.sop_instance_uid] * (arrived_before + 1)
    assert [attempt.code for attempt in desk.attempts(delivery)] == [
        "delivery.interrupted",
        "delivery.stored",
    ]
