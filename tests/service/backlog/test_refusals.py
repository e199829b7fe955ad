"""Who was turned away and what was refused: counted exactly, and told in few entries."""

from __future__ import annotations

import json
import socket

from service.backlog.audit import AuditTrail, Deed
from service.backlog.refusals import NAMED_AN_HOUR, Kind, RefusalKeeper, Refusals, read_refusals

UNKNOWN = "association.calling-ae-title-unknown"


def entries(ledger):
    return [
        (entry.code, entry.who, entry.address, entry.facts["count"])
        for entry in AuditTrail(ledger).entries()
        if entry.deed is Deed.REFUSED
    ]


def test_the_first_is_told_at_once_and_the_others_of_the_hour_in_one_entry(ledger, storage):
    refusals = Refusals()
    keeper = RefusalKeeper(refusals, ledger, storage)
    for at in range(0, 1000, 10):
        refusals.add("association", UNKNOWN, address="10.0.0.9", title="NOBODY")
        keeper.keep(float(at))
    assert entries(ledger) == [(UNKNOWN, "NOBODY", "10.0.0.9", 1)]
    keeper.keep(3599.0)
    assert len(entries(ledger)) == 1
    keeper.keep(3605.0)
    assert entries(ledger) == [(UNKNOWN, "NOBODY", "10.0.0.9", 1), (UNKNOWN, "NOBODY", "10.0.0.9", 99)]
    refusals.add("association", UNKNOWN, address="10.0.0.9", title="NOBODY")
    keeper.keep(3700.0)  # another hour
    assert entries(ledger)[-1] == (UNKNOWN, "NOBODY", "10.0.0.9", 1)
    assert not any(entry.succeeded for entry in AuditTrail(ledger).entries())


def test_a_scanner_with_a_thousand_names_makes_few_entries_and_all_are_counted(ledger, storage):
    refusals = Refusals()
    keeper = RefusalKeeper(refusals, ledger, storage)
    for number in range(1000):
        refusals.add(
            "association", UNKNOWN, address=f"10.0.{number // 250}.{number % 250}", title=f"T{number}"
        )
    keeper.keep(0.0)
    assert len(entries(ledger)) == NAMED_AN_HOUR
    keeper.keep(4000.0)
    assert entries(ledger)[NAMED_AN_HOUR:] == [(UNKNOWN, None, None, 1000 - NAMED_AN_HOUR)]
    assert read_refusals(storage) == {Kind("association", UNKNOWN, ""): 1000}


def test_counts_outlive_the_process_and_those_of_all_hosts_are_added(ledger, storage):
    for _ in range(2):
        refusals = Refusals()
        keeper = RefusalKeeper(refusals, ledger, storage)
        refusals.add("instance", "instance.conflict", address="10.0.0.1", title="CT1", sender="CT1")
        keeper.keep(0.0)
    kind = Kind("instance", "instance.conflict", "CT1")
    assert read_refusals(storage) == {kind: 2}
    (storage / "refusals.elsewhere.json").write_text(json.dumps([[*kind, 5]]))
    (storage / f"refusals.{socket.gethostname()}x.json").write_text("half writ")
    assert read_refusals(storage) == {kind: 7}


def test_what_a_title_holds_that_is_no_character_is_a_blank_and_the_end_tells_the_rest(ledger, storage):
    refusals = Refusals()
    keeper = RefusalKeeper(refusals, ledger, storage)
    for _ in range(3):
        refusals.add("association", UNKNOWN, address="10.0.0.9", title="A\x1b[2J" + "B" * 40)
    keeper.keep(0.0)
    keeper.keep(1.0, ending=True)
    assert entries(ledger) == [(UNKNOWN, "A [2JBBBBBBBBBBB", "10.0.0.9", n) for n in (1, 2)]


def test_what_the_database_does_not_take_is_told_later(ledger, storage, monkeypatch):
    from sqlalchemy.exc import OperationalError

    refusals = Refusals()
    keeper = RefusalKeeper(refusals, ledger, storage)
    refusals.add("association", UNKNOWN, address="10.0.0.9")
    with monkeypatch.context() as patched:

        def gone():
            raise OperationalError("begin", {}, Exception())

        patched.setattr(ledger, "begin", gone)
        keeper.keep(0.0)
    keeper.keep(10.0)
    assert entries(ledger) == [(UNKNOWN, None, "10.0.0.9", 1)]
