"""What became of an association is known whichever of the library's threads comes first."""

from __future__ import annotations

import time
from dataclasses import replace

from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import RTStructureSetStorage

from service.delivery.association import Watch, associate


def test_a_rejection_is_known_although_the_connection_is_closed_before_anybody_waits_for_the_answer(scp):
    """Who called sleeps until request, answer and end of the connection are through."""
    peer = replace(scp(require_called_aet=True, title="OTHER"), ae_title="TPS")
    watch = Watch(peer.timeout_seconds)
    late = [(evt.EVT_REQUESTED, lambda _event: time.sleep(2.0))]
    found = associate(peer, [build_context(RTStructureSetStorage)], watch, handlers=late)
    assert found.code == "delivery.association-rejected"
    assert "1/1/7" in found.sentence  # permanent, by the service user, called AE title not recognized
