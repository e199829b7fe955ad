"""An answer that comes at once reaches the sender, however late the library's own thread wakes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import RTStructureSetStorage

from service.delivery.answers import answers_kept
from service.delivery.storage_scu import Peer


class LateToWake(threading.Event):
    """Whoever waits wakes just when an answer has come, as it may on a busy machine."""

    def __init__(self, association: Association) -> None:
        super().__init__()
        self.set()
        self._answers = association.dimse.msg_queue

    def wait(self, timeout: float | None = None) -> bool:
        told = super().wait(timeout)
        deadline = time.monotonic() + 0.05
        while self._answers.empty() and time.monotonic() < deadline:
            time.sleep(0.0005)
        return told


def test_every_answer_reaches_the_sender(
    scp: Callable[..., Peer], structure_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = scp(lambda _event: 0x0000)
    ae = AE("DELINEATE")
    ae.dimse_timeout = 3
    ae.add_requested_context(RTStructureSetStorage, ImplicitVRLittleEndian)
    association = ae.associate(peer.host, peer.port, ae_title=peer.ae_title)
    assert association.is_established
    association._reactor_checkpoint = LateToWake(association)
    look = association.dimse.get_msg

    def looked_for_late(block: bool = False) -> object:  # whoever sends is not quick to listen either
        if block:
            time.sleep(0.02)
        return look(block)

    monkeypatch.setattr(association.dimse, "get_msg", looked_for_late)
    with answers_kept(association):
        statuses = [association.send_c_store(structure_set).get("Status") for _ in range(10)]
    association.release()
    assert statuses == [0] * 10
    assert association.is_released
    association.join(5)
    assert not association.is_alive()
