"""A drift is told once, by whoever watches, and is over when a person says that they know."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from reviewed_structures import reviewed, write_down

from service.backlog.audit import Deed
from service.backlog.database import LedgerRefused
from service.backlog.watchdog import Watchdog
from service.config.site import Disk, Node
from service.evaluation.charted import CHARTED
from service.evaluation.control_chart import Smoothing
from service.evaluation.drift import ACKNOWLEDGED, DriftWatch, acknowledge, acknowledgements
from service.evaluation.quality import Plan
from service.evaluation.summary import Group

PLAN = Plan(20, None, CHARTED["dsc"], Smoothing())
BLADDER = Group("Bladder", "pelvis", "pelvis-ct@2.0", is_shadow=False)


class Told:
    def __init__(self) -> None:
        self.notices: list[tuple[str, str, str | None]] = []

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        self.notices.append((code, sentence, job_id))


def usual(first: int = 0, n: int = 20):
    return [reviewed(week=k / 10, dsc=0.80 + 0.01 * (7 * k % 20)) for k in range(first, first + n)]


def worse(first: int, n: int = 8, **fields):
    return [reviewed(week=k / 10, dsc=0.6, **fields) for k in range(first, first + n)]


def watchdog(ledger, audit, told, storage):
    node = Node(disk=Disk(reserve_gb=0.000001))
    return Watchdog(ledger, node, storage, dict, told, DriftWatch(ledger, audit, lambda: PLAN))


def test_a_drift_is_told_once_however_often_and_by_how_many_it_is_seen(ledger, audit, tmp_path):
    told = Told()
    one, other = watchdog(ledger, audit, told, tmp_path), watchdog(ledger, audit, told, tmp_path)
    write_down(ledger, usual())
    assert one.look() == []
    rows = worse(20)
    write_down(ledger, rows)
    for each in (one, other, one, watchdog(ledger, audit, told, tmp_path)):
        each.look()
    ((code, sentence, job),) = told.notices
    assert (code, job) == ("quality.drift", rows[5].job_id)  # the sixth is the one that is beyond the limit
    assert "Bladder of protocol pelvis by pelvis-ct@2.0" in sentence
    assert "the last 8 cases have a median DSC of 0.600, the 20 of commissioning had 0.895" in sentence
    assert not re.search(r"\d{4}-\d\d|2\.25|/", sentence)  # no date, no UID, no path


def test_a_person_acknowledges_it_which_is_written_down_and_ends_it(ledger, audit, tmp_path):
    told = Told()
    write_down(ledger, [*usual(), *worse(20)])
    watch = watchdog(ledger, audit, told, tmp_path)
    watch.look()
    acknowledge(ledger, audit, PLAN, BLADDER, "console:operator", "127.0.0.1")
    (entry,) = audit.coded(ACKNOWLEDGED)
    assert (entry.deed, entry.who, entry.address) == (Deed.CHANGED, "console:operator", "127.0.0.1")
    assert entry.facts == {
        "structure": "Bladder", "protocol": "pelvis", "model": "pelvis-ct@2.0", "is_shadow": False, "measure": "dsc",
    }  # fmt: skip
    assert acknowledgements(audit, PLAN) == {BLADDER: [entry.at]}
    with pytest.raises(LedgerRefused) as refused:
        acknowledge(ledger, audit, PLAN, BLADDER, "console:operator")
    assert refused.value.code == "quality.no-drift"
    assert watch.look() == []


def test_what_goes_on_drifting_after_that_is_told_again(ledger, audit, tmp_path):
    told = Told()
    write_down(ledger, [*usual(), *worse(20)])
    watch = watchdog(ledger, audit, told, tmp_path)
    watch.look()
    acknowledge(ledger, audit, PLAN, BLADDER, "console:operator")
    weeks = (audit.coded(ACKNOWLEDGED)[0].at - reviewed(week=0).received_at) / (7 * 86400)
    write_down(ledger, worse(int(weeks * 10) + 10))
    watch.look()
    watch.look()
    assert [code for code, _, _ in told.notices] == ["quality.drift"] * 2


def test_another_structure_or_a_shadow_does_not_drift_with_it(ledger, audit, tmp_path):
    told = Told()
    write_down(ledger, [*usual(), *(replace(each, structure="Rectum") for each in usual())])
    write_down(
        ledger, [replace(each, model="pelvis-ct@2.1", is_shadow=True) for each in [*usual(), *worse(20)]]
    )
    write_down(ledger, [reviewed("Rectum", week=k / 10, dsc=0.6) for k in range(20, 28)])
    watchdog(ledger, audit, told, tmp_path).look()
    ((_, sentence, _),) = told.notices
    assert sentence.startswith("Rectum ")


def test_a_drift_in_another_measure_was_not_acknowledged(ledger, audit):
    write_down(ledger, [*usual(), *worse(20)])
    acknowledge(ledger, audit, PLAN, BLADDER, "console:operator")
    assert acknowledgements(audit, replace(PLAN, measure=CHARTED["hd95_mm"])) == {}
