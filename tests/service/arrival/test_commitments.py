"""Senders ask for storage commitment, with pynetdicom; destinations answer on associations of their own."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import CTImageStorage, StorageCommitmentPushModel

from service.arrival.commitments import AssociationCommitments, Commitments
from service.arrival.storage_scp import StorageScp
from service.backlog.commitment_records import AskedState, CommitmentState
from service.backlog.engine import COMMIT
from service.backlog.spool import hashed
from service.delivery.committer import Committer
from service.dicom.storage_commitment import INSTANCE, request_data_set

CT = str(CTImageStorage)
ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"
SUCCESS, NO_SUCH_INSTANCE, CONFLICT = 0x0000, 0x0112, 0x0119


@dataclass
class Sender:
    """A modality: stores, asks, and takes reports on the same association or at a port of its own."""

    port: int
    title: str = "ECLIPSE"
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)
    status: int = SUCCESS

    def take(self, event: evt.Event) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information))
        self.came.set()
        return self.status, None

    def associate(self):
        ae = AE(self.title)
        ae.add_requested_context(CTImageStorage)
        ae.add_requested_context(StorageCommitmentPushModel)
        ae.dimse_timeout = ae.network_timeout = 30
        association = ae.associate(
            "127.0.0.1",
            self.port,
            ae_title="DELINEATE",
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)],
        )
        assert association.is_established
        return association

    @contextlib.contextmanager
    def listening(self):
        """Take reports at a port of its own; yields the port."""
        ae = AE(self.title)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)]
        )
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()

    def answer(self) -> tuple[set[str], dict[str, int]]:
        """What the last report commits to, and failure reasons."""
        event_type, ds = self.reports[-1]
        committed = {str(item.ReferencedSOPInstanceUID) for item in ds.get("ReferencedSOPSequence") or ()}
        failed = {
            str(item.ReferencedSOPInstanceUID): int(item.FailureReason)
            for item in ds.get("FailedSOPSequence") or ()
        }
        assert event_type == (2 if failed else 1)
        return committed, failed


def ask(association: Any, transaction_uid: str, *instances: tuple[str, str], action: int = 1) -> int:
    data = request_data_set(transaction_uid, instances)
    status, _ = association.send_n_action(data, action, StorageCommitmentPushModel, INSTANCE)
    return int(status.Status)


@pytest.fixture
def node(make_desk):
    """An SCP over real spool, ledger and engine: ``(desk, port, committer)``."""
    running = []

    def start(**sections):
        desk = make_desk(**sections)
        shared = Commitments(lambda: desk.loaded.site, desk.spool, desk.ledger, desk.engine, desk.told)
        site = desk.loaded.site.model_copy(
            update={"node": desk.loaded.site.node.model_copy(update={"port": 0})}
        )
        scp = StorageScp(lambda: site, desk.spool, desk.reception, lambda: desk.now, shared)
        port = scp.start()
        running.append(scp)
        committer = Committer(desk.ledger, desk.engine, desk.spool, lambda: desk.loaded, desk.told)
        return desk, port, committer

    yield start
    for scp in running:
        scp.stop(grace_seconds=0)


def store(association, make_ct, *numbers: int) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ImplicitVRLittleEndian

    for number in numbers:
        ds = make_ct(number)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        ds.set_original_encoding(True, True)
        assert association.send_c_store(ds).Status == SUCCESS


def asked_rows(desk) -> list[Any]:
    return [desk.ledger.asked(number) for number in range(1, 10) if _exists(desk, number)]


def _exists(desk, number: int) -> bool:
    from service.backlog.ledger import LedgerRefused

    try:
        desk.ledger.asked(number)
    except LedgerRefused:
        return False
    return True


def test_each_instance_is_answered_for_itself_on_the_association_that_is_kept_open(node, make_ct, eventually):
    desk, port, committer = node()
    sender = Sender(port)
    association = sender.associate()
    store(association, make_ct, 1, 2, 3)
    wanted = [(CT, "2.25.20.1"), (CT, "2.25.20.9"), (ENHANCED, "2.25.20.2"), (CT, "2.25.20.3")]
    assert ask(association, "2.25.777", *wanted) == SUCCESS
    assert sender.came.wait(20)
    assert sender.answer() == (
        {"2.25.20.1", "2.25.20.3"},
        {"2.25.20.9": NO_SUCH_INSTANCE, "2.25.20.2": CONFLICT},
    )
    assert sender.reports[0][1].TransactionUID == "2.25.777"
    store(association, make_ct, 4)  # the association goes on
    sender.came.clear()
    assert ask(association, "2.25.778", (CT, "2.25.20.4")) == SUCCESS
    assert sender.came.wait(20)
    assert sender.answer() == ({"2.25.20.4"}, {})
    eventually(lambda: [each.state for each in asked_rows(desk)] == [AskedState.REPORTED] * 2)
    association.release()
    assert [each.state for each in asked_rows(desk)] == [AskedState.REPORTED] * 2
    assert [committer.handle(f"report:{each.id}") for each in asked_rows(desk)] == [None, None]
    assert len(sender.reports) == 2


def test_a_sender_that_releases_gets_its_answer_on_a_new_association_even_after_a_restart(
    node, make_ct, never_on_the_same
):
    listener = Sender(0)
    with listener.listening() as own_port:
        desk, port, _ = node(senders={"ECLIPSE": {"port": own_port}})
        association = Sender(port).associate()
        store(association, make_ct, 1)
        assert ask(association, "2.25.777", (CT, "2.25.20.1"), (CT, "2.25.20.2")) == SUCCESS
        association.release()
        (asked,) = asked_rows(desk)
        assert asked.state is AskedState.WAITING
        assert any(key.startswith(f"commit:report:{asked.id}:") for key in desk.engine.under_way())
        restarted = Committer(desk.ledger, desk.engine, desk.spool, lambda: desk.loaded, desk.told)
        assert restarted.handle(f"report:{asked.id}") is None
        assert listener.answer() == ({"2.25.20.1"}, {"2.25.20.2": NO_SUCH_INSTANCE})
    assert asked_rows(desk)[0].state is AskedState.REPORTED


def test_a_sender_that_cannot_be_reached_is_tried_again(node, make_ct, never_on_the_same):
    listener = Sender(0)
    with listener.listening() as own_port:
        pass
    desk, port, committer = node(senders={"ECLIPSE": {"port": own_port}})
    association = Sender(port).associate()
    assert ask(association, "2.25.777", (CT, "2.25.20.1")) == SUCCESS
    association.release()
    again = committer.handle("report:1")
    assert again is not None
    assert (again.payload, again.delay_seconds >= 5) == ("report:1", True)
    assert asked_rows(desk)[0].state is AskedState.WAITING


def test_what_is_purged_is_no_longer_committed_to(node, make_ct, eventually):
    desk, port, _ = node()
    sender = Sender(port)
    association = sender.associate()
    store(association, make_ct, 1)
    desk.spool.instance_file("2.25.20", "2.25.20.1").unlink()
    assert ask(association, "2.25.777", (CT, "2.25.20.1")) == SUCCESS
    assert sender.came.wait(20)
    assert sender.answer() == (set(), {"2.25.20.1": NO_SUCH_INSTANCE})
    eventually(lambda: asked_rows(desk)[0].state is AskedState.REPORTED)
    association.release()
    assert hashed("2.25.20.1") not in str(list(desk.spool.incoming.rglob("*")))


def test_requests_that_cannot_be_are_refused(node, never_on_the_same):
    desk, port, _ = node()
    association = Sender(port).associate()
    assert ask(association, "2.25.777", (CT, "2.25.20.1"), action=2) == 0x0123
    assert ask(association, "2.25.777") == 0x0115
    assert ask(association, "2.25.777", (CT, "2.25.20.1")) == SUCCESS
    assert ask(association, "2.25.777", (CT, "2.25.20.2")) == 0x0115  # the same transaction for another
    wrong = request_data_set("2.25.778", [(CT, "2.25.20.1")])
    status, _ = association.send_n_action(wrong, 1, StorageCommitmentPushModel, "2.25.1")
    assert status.Status == NO_SUCH_INSTANCE
    association.release()
    assert len(asked_rows(desk)) == 1


@pytest.fixture
def never_on_the_same(monkeypatch):
    """However long the machine takes, no report goes out on the association on which it was asked for."""
    monkeypatch.setattr(AssociationCommitments, "due", lambda _self: iter(()))


# what destinations answer

DESTINATIONS = {
    "tps": {"ae_title": "TPS", "host": "127.0.0.1", "port": 11113, "storage_commitment": True},
}


def report(port: int, title: str, event_type: int, ds: Dataset) -> int:
    ae = AE(title)
    ae.add_requested_context(StorageCommitmentPushModel)
    association = ae.associate(
        "127.0.0.1",
        port,
        ae_title="DELINEATE",
        ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
    )
    assert association.is_established
    try:
        status, _ = association.send_n_event_report(ds, event_type, StorageCommitmentPushModel, INSTANCE)
        return int(status.Status)
    finally:
        association.release()


def delivered(desk) -> Any:
    """A delivery to ``tps`` that was acknowledged and of which a commitment was asked as 2.25.500."""
    desk.send(range(1, 6))
    desk.wait(5)
    (job,) = desk.jobs()
    delivery = desk.finish(job)
    with desk.ledger.begin() as conn:
        desk.ledger.want_commitment(conn, delivery.id)
    desk.ledger.start_request(delivery.id, "TPS", "2.25.500")
    desk.ledger.end_request("2.25.500", status=0, code="commitment.requested", taken=True)
    assert desk.ledger.commitment(delivery.id).state is CommitmentState.ASKED
    return delivery


@pytest.mark.parametrize("failure_reason", [None, 0x0112])
def test_an_answer_on_an_association_of_the_destination_s_own_is_written_down(node, failure_reason):
    desk, port, committer = node(destinations=DESTINATIONS)
    delivery = delivered(desk)
    ds = request_data_set("2.25.500", [("1.2.840.10008.5.1.4.1.1.481.3", "2.25.99")])
    if failure_reason is not None:
        ds.FailedSOPSequence = ds.ReferencedSOPSequence
        ds.FailedSOPSequence[0].FailureReason = failure_reason
        del ds.ReferencedSOPSequence
    assert report(port, "TPS", 2 if failure_reason else 1, ds) == SUCCESS
    found = desk.ledger.commitment(delivery.id)
    if failure_reason is None:
        assert (found.state, found.failure_reason) == (CommitmentState.COMMITTED, None)
        assert desk.told.codes == []
    else:
        assert (found.state, found.failure_reason) == (CommitmentState.REFUSED, failure_reason)
        ((code, sentence, job_id),) = desk.told.messages
        assert (code, job_id) == ("commitment.refused", delivery.job_id)
        assert "it has no such instance, although it acknowledged it (0112h)" in sentence
    assert committer.handle(f"ask:{delivery.id}") is None


def test_answers_of_others_and_to_nothing_are_refused(node):
    desk, port, _ = node(destinations=DESTINATIONS)
    delivery = delivered(desk)
    ds = request_data_set("2.25.500", [("1.2.840.10008.5.1.4.1.1.481.3", "2.25.99")])
    assert report(port, "ECLIPSE", 1, ds) == 0x0115  # a sender, but not who was asked
    ds.TransactionUID = "2.25.501"
    assert report(port, "TPS", 1, ds) == 0x0115
    assert desk.ledger.commitment(delivery.id).state is CommitmentState.ASKED


def test_a_destination_may_answer_and_store_nothing(node, make_ct):
    desk, port, _ = node(destinations=DESTINATIONS)
    association = Sender(port, "TPS").associate()
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ImplicitVRLittleEndian

    ds = make_ct(1)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.set_original_encoding(True, True)
    assert association.send_c_store(ds).Status == 0x0124
    assert ask(association, "2.25.777", (CT, "2.25.20.1")) == 0x0124
    association.release()
    assert asked_rows(desk) == []
    assert COMMIT not in " ".join(desk.engine.under_way())
