"""After a delivery is acknowledged its destination is asked to commit itself: providers made with pynetdicom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from delivery_desk import Desk
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    RTStructureSetStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)
from running_node import free_port

from service.backlog.commitment_records import CommitmentState
from service.backlog.engine import EngineClient, migrate
from service.backlog.records import Delivery
from service.backlog.spool import Spool
from service.delivery.committer import Committer
from service.delivery.sender import Sender

RETRY = (
    "{first_seconds: 0.3, factor: 2.0, longest_seconds: 1.0, give_up_hours: 0.1}, storage_commitment: true"
)


@dataclass
class Provider:
    """A Storage SCP that is asked for commitment and answers on the same association, or not at all."""

    offers: bool = True
    answers: bool = True
    failure_reason: int | None = None
    status: int = 0x0000
    asked: list[Dataset] = field(default_factory=list)
    replies: list[int] = field(default_factory=list)

    def start(self) -> int:
        ae = AE("TPS")
        ae.add_supported_context(RTStructureSetStorage)
        if self.offers:
            ae.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, lambda _event: 0x0000), (evt.EVT_N_ACTION, self.take)]
        self.server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        return int(self.server.socket.getsockname()[1])

    def take(self, event: evt.Event) -> tuple[int, None]:
        self.asked.append(event.action_information)
        if self.answers and self.status == 0:
            threading.Timer(0.2, self.report, [event.assoc, event.action_information]).start()
        return self.status, None

    def report(self, association: object, ds: Dataset) -> None:
        event_type = 1
        if self.failure_reason is not None:
            event_type = 2
            ds.FailedSOPSequence = ds.ReferencedSOPSequence
            del ds.ReferencedSOPSequence
            ds.FailedSOPSequence[0].FailureReason = self.failure_reason
        status, _ = association.send_n_event_report(
            ds, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        self.replies.append(int(status.Status))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    migrate(made.loaded.database_url)
    yield made
    made.ledger.close()


@pytest.fixture
def provider(desk: Desk) -> Iterator[Callable[..., Provider]]:
    started = []

    def start(**how: object) -> Provider:
        made = Provider(**how)
        desk.configure(made.start(), retry=RETRY)
        started.append(made)
        return made

    yield start
    for each in started:
        each.server.shutdown()


@pytest.fixture
def committer(desk: Desk) -> Iterator[Committer]:
    engine = EngineClient(desk.loaded.database_url)
    spool = Spool(desk.loaded.storage)
    yield Committer(desk.ledger, engine, spool, lambda: desk.loaded, desk.told)
    engine.close()


def deliver(desk: Desk, committer: Committer) -> Delivery:
    delivery = desk.delivery()
    Sender(desk.ledger, lambda: desk.loaded, desk.told, committer.want).deliver(str(delivery.id))
    assert desk.states(delivery) == ("delivered", "done")
    return delivery


def state(desk: Desk, delivery: Delivery) -> CommitmentState | None:
    found = desk.ledger.story(delivery.job_id).commitments.get(delivery.id)
    return found.state if found else None


def test_a_destination_commits_itself_on_the_same_association(
    desk: Desk, provider: Callable[..., Provider], committer: Committer
) -> None:
    tps = provider()
    delivery = deliver(desk, committer)
    assert state(desk, delivery) is CommitmentState.WANTED
    again = committer.handle(f"ask:{delivery.id}")
    assert state(desk, delivery) is CommitmentState.COMMITTED
    (asked,) = tps.asked
    assert [item.ReferencedSOPInstanceUID for item in asked.get("ReferencedSOPSequence")] == [
        "2.25.1234567890"
    ]
    assert again is not None
    assert committer.handle(again.payload) is None
    assert desk.told.codes == []


def test_a_refusal_is_told_with_its_reason(
    desk: Desk, provider: Callable[..., Provider], committer: Committer
) -> None:
    tps = provider(failure_reason=0x0213)
    delivery = deliver(desk, committer)
    committer.handle(f"ask:{delivery.id}")
    assert state(desk, delivery) is CommitmentState.REFUSED
    ((code, sentence, _),) = desk.told.messages
    assert code == "commitment.refused"
    assert "lacks the resources (0213h)" in sentence
    assert tps.replies == [0x0000]


def test_a_destination_that_offers_none_stays_at_acknowledged(
    desk: Desk, provider: Callable[..., Provider], committer: Committer
) -> None:
    provider(offers=False)
    delivery = deliver(desk, committer)
    assert committer.handle(f"ask:{delivery.id}") is None
    assert state(desk, delivery) is CommitmentState.NOT_OFFERED
    assert desk.told.codes == ["commitment.not-offered"]


def test_one_that_is_not_asked_stays_at_acknowledged(
    desk: Desk, provider: Callable[..., Provider], committer: Committer
) -> None:
    tps = provider()
    desk.configure(int(tps.server.socket.getsockname()[1]))
    delivery = deliver(desk, committer)
    assert state(desk, delivery) is None
    assert committer.handle(f"ask:{delivery.id}") is None
    assert tps.asked == []


def test_without_an_answer_it_is_asked_again_by_another_transaction_and_given_up_at_last(
    desk: Desk, provider: Callable[..., Provider], committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.delivery.commitment_scu.ANSWER_AT_ONCE_SECONDS", 0.1)
    tps = provider(answers=False)
    delivery = deliver(desk, committer)
    again = committer.handle(f"ask:{delivery.id}")
    assert state(desk, delivery) is CommitmentState.ASKED
    assert again is not None
    assert again.delay_seconds == 3600.0
    committer.handle(again.payload)
    first, second = (str(ds.TransactionUID) for ds in tps.asked)
    assert first != second
    for transaction_uid in (first, second):  # an answer to either counts
        known = desk.ledger.commitment_answered(transaction_uid, "OTHER", {"2.25.1234567890"}, {})
        assert known is None
    desk.configure(
        int(tps.server.socket.getsockname()[1]), retry=RETRY + ", commitment: {give_up_hours: 0.0000001}"
    )
    assert committer.handle(again.payload) is None
    assert state(desk, delivery) is CommitmentState.UNANSWERED
    assert desk.told.codes == ["commitment.unanswered"]
    known = desk.ledger.commitment_answered(first, "TPS", {"2.25.1234567890"}, {})  # late, and still true
    assert known is not None
    assert state(desk, delivery) is CommitmentState.COMMITTED


@pytest.mark.parametrize("how", [{"status": 0x0110}, {"status": 0x0124}, None])
def test_a_destination_that_does_not_take_the_question_is_asked_again_later(
    desk: Desk, provider: Callable[..., Provider], committer: Committer, how: dict | None
) -> None:
    provider(**(how or {}))
    delivery = deliver(desk, committer)
    if how is None:
        desk.configure(free_port(), retry=RETRY)
    again = committer.handle(f"ask:{delivery.id}")
    assert state(desk, delivery) is CommitmentState.WANTED
    assert again is not None
    assert 0.3 <= again.delay_seconds <= 1.0


def test_the_question_is_in_the_engine_once_the_delivery_is_acknowledged(
    desk: Desk, provider: Callable[..., Provider], committer: Committer
) -> None:
    provider()
    delivery = deliver(desk, committer)
    engine = EngineClient(desk.loaded.database_url)
    try:
        assert f"commit:ask:{delivery.id}:1" in engine.under_way()
    finally:
        engine.close()
