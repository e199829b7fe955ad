"""Asking a sender how many instances a series has: real C-FIND."""

from __future__ import annotations

import socket
import time

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind
from pynetdicom.sop_class import Verification

from service.arrival import expected_count
from service.arrival.completeness import Question
from service.arrival.expected_count import ask_sender

QUESTION = Question("1.2.3", "1.2", "ECLIPSE", "127.0.0.1", 1)


@pytest.fixture
def sender():
    """A Query/Retrieve SCP that answers with these counts."""
    servers = []

    def start(*counts, asked=None, context=StudyRootFind):
        def find(event):
            if asked is not None:
                asked.append(event.identifier)
            for count in counts:
                found = Dataset()
                found.QueryRetrieveLevel = "SERIES"
                found.SeriesInstanceUID = "1.2.3"
                if count is not None:
                    found.NumberOfSeriesRelatedInstances = count
                yield 0xFF00, found

        ae = AE("ECLIPSE")
        ae.add_supported_context(context)
        servers.append(ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)]))
        return servers[-1].socket.getsockname()[1]

    yield start
    for server in servers:
        server.shutdown()


def ask(port):
    return ask_sender(QUESTION, own_ae_title="DELINEATE", host="127.0.0.1", port=port)


def test_the_sender_says_how_many(sender):
    asked = []
    assert ask(sender("98", asked=asked)) == 98
    assert (asked[0].StudyInstanceUID, asked[0].SeriesInstanceUID) == ("1.2", "1.2.3")
    assert asked[0].QueryRetrieveLevel == "SERIES"


@pytest.mark.parametrize("counts", [(), (None,), ("",), ("98", "97")], ids=["none", "absent", "empty", "two"])
def test_a_sender_that_does_not_say_is_no_trouble(sender, counts):
    assert ask(sender(*counts)) is None


def test_a_sender_that_goes_on_and_on_is_not_listened_to_for_ever(sender, monkeypatch):
    monkeypatch.setattr(expected_count, "MOST_RESPONSES", 10)
    monkeypatch.setattr(expected_count, "SECONDS", 0.5)
    port, begun = sender(*["98"] * 100_000), time.monotonic()
    ask(port)
    assert time.monotonic() - begun < 20


def test_a_sender_that_is_no_query_scp_is_no_trouble(sender):
    assert ask(sender(context=Verification)) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom's own socket
def test_a_sender_that_is_not_there_is_no_trouble():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert ask(unused.getsockname()[1]) is None


def test_a_sender_that_does_not_answer_is_given_up_soon(monkeypatch):
    monkeypatch.setattr(expected_count, "SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        assert ask(silent.getsockname()[1]) is None
        assert time.monotonic() - begun < 20
