"""A CT that was pulled from an archive: complete by count, contoured as ordered, and nothing else let in."""

from __future__ import annotations

import time

import pytest
from bare_sender import EXPLICIT, ct_dataset, encoded

from service.arrival.admission import ADDRESS, CALLING_AE_TITLE, judge
from service.arrival.instance import Claim, Origin
from service.arrival.intake import Intake
from service.backlog.audit import AuditTrail, Deed
from service.backlog.pull_orders import ORDER_SECONDS, PullOrder, PullOrders
from service.backlog.records import JobState, Mode, SeriesState
from service.config.site import Site

PACS = {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}}
UID = "2.25.20"
HOLE = [k for k in range(10) if k != 4]


def order(instances: int = 10, **more: object) -> PullOrder:
    return PullOrder("pacs", "PACS", instances, "physicist", priority=900, **more)  # type: ignore[arg-type]


@pytest.fixture
def desk(make_desk):
    return make_desk(archives=PACS)


@pytest.fixture
def orders(desk):
    return PullOrders(desk.spool.storage, lambda: desk.now)


def step_until(desk, holds) -> None:
    """Without a second of silence: the clock of the desk stands still."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        desk.reception.step()
        time.sleep(0.01)


def recorded(desk):
    found = desk.ledger.find_series(UID)
    return found is not None and found.state is not SeriesState.COLLECTING


def test_it_is_complete_by_the_count_and_not_by_silence(desk, orders):
    orders.place(UID, order())
    assert desk.send(range(10), calling="PACS") == [0] * 10
    step_until(desk, lambda: recorded(desk))
    (job,) = desk.jobs()
    assert (job.state, job.protocol, job.priority, job.destinations) == (
        JobState.QUEUED,
        "external",
        900,
        ("tps",),
    )
    assert "series.pulled" in desk.codes()
    assert orders.find(UID, "PACS") is None
    (entry,) = [each for each in AuditTrail(desk.ledger).entries() if each.deed is Deed.PULLED]
    assert (entry.who, entry.facts["archive"], entry.facts["instances"]) == ("physicist", "pacs", 10)


def test_a_protocol_that_was_ordered_needs_no_route_and_sends_nothing_unless_told_where(make_desk):
    desk = make_desk(archives=PACS, routes=[])
    orders = PullOrders(desk.spool.storage, lambda: desk.now)
    orders.place(UID, order(protocol="external"))
    desk.send(range(10), calling="PACS")
    step_until(desk, lambda: recorded(desk))
    (job,) = desk.jobs()
    assert (job.protocol, job.mode, job.destinations, len(job.files)) == ("external", Mode.SHADOW, (), 10)


def test_a_protocol_may_be_sent_somewhere(desk, orders):
    orders.place(UID, order(protocol="external", destinations=("tps",)))
    desk.send(range(10), calling="PACS")
    step_until(desk, lambda: recorded(desk))
    assert [(job.mode, job.destinations) for job in desk.jobs()] == [(Mode.SEND, ("tps",))]


def test_fewer_than_promised_wait_for_the_rest(desk, orders):
    orders.place(UID, order())
    desk.send(range(7), calling="PACS", released=False)
    desk.wait(60)
    assert desk.jobs() == []
    desk.send(range(10), calling="PACS")
    step_until(desk, lambda: recorded(desk))
    assert [len(job.files) for job in desk.jobs()] == [10]


def test_a_hole_in_all_that_the_archive_has_is_refused_at_once(desk, orders):
    orders.place(UID, order(instances=9))
    desk.send(HOLE, calling="PACS")
    step_until(desk, lambda: recorded(desk))
    assert (desk.series().state, desk.series().code) == (SeriesState.REFUSED, "series.hole")


def test_an_order_counts_for_its_archive_only_and_for_a_day(desk, orders):
    orders.place(UID, order())
    assert orders.find(UID, "PACS ") == order(at=desk.now)
    assert orders.find(UID, "ECLIPSE") is None
    assert orders.find("2.25.21", "PACS") is None
    desk.now += ORDER_SECONDS
    assert orders.find(UID, "PACS") is None
    orders.forget_old()
    assert len(list((desk.spool.storage / "pulls" / "orders").iterdir())) == 1
    desk.now += 60
    orders.forget_old()
    assert list((desk.spool.storage / "pulls" / "orders").iterdir()) == []


def test_an_order_that_was_damaged_is_none(desk, orders):
    orders.place(UID, order())
    (file,) = (desk.spool.storage / "pulls" / "orders").iterdir()
    for text in ("", "[]", "{}", '{"destinations": 3}'):
        file.write_text(text)
        assert orders.find(UID, "PACS") is None


def test_a_series_that_was_not_ordered_is_not_taken_from_whom_only_orders_are_taken(desk, orders):
    orders.place(UID, order())
    here = Origin("PACS", "DELINEATE", "127.0.0.1")
    rules = {"discard": (), "reserve_bytes": 0, "clock": lambda: desk.now, "ordered": orders}
    intake = Intake(99, here, desk.spool, desk.reception, **rules)
    statuses = []
    for series in (UID, "2.25.21"):
        made = ct_dataset(1, series=series)
        data = memoryview(encoded(made, EXPLICIT))
        claim = Claim(made.SOPClassUID, made.SOPInstanceUID, EXPLICIT)
        statuses.append(intake.store(claim, [data], len(data)))
    assert [int(answer.status) for answer in statuses] == [0x0000, 0x0124]
    assert statuses[1].comment == "instance.not-ordered"


def test_only_this_machine_may_hand_on_what_an_archive_sent():
    site = Site.model_validate({"archives": PACS, "senders": {"ECLIPSE": {"addresses": ["192.0.2.7"]}}})
    assert judge(site, calling="PACS", called="DELINEATE", address="127.0.0.1") is None
    assert judge(site, calling="PACS", called="DELINEATE", address="192.0.2.1") == CALLING_AE_TITLE
    assert judge(site, calling="ECLIPSE", called="DELINEATE", address="127.0.0.1") == ADDRESS
    moving = Site.model_validate({"archives": {"pacs": PACS["pacs"] | {"retrieve": "move"}}})
    assert judge(moving, calling="PACS", called="DELINEATE", address="127.0.0.1") == CALLING_AE_TITLE
