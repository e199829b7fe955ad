"""What the commissioning report takes from ledger, bundles and disk."""

from __future__ import annotations

import hashlib

import pytest
from reviewed_cases import case_on_disk
from reviewed_structures import reviewed, write_down

from models.cards.catalog import find_bundle
from service.backlog.audit import AuditTrail
from service.backlog.ledger import Ledger
from service.config.reader import load
from service.evaluation.overview import Wanted, overview
from service.evaluation.quality import plan_of
from service.node.commissioning import commissioning_report

CONFIG = """
node: {storage: ./var, ae_title: NODE7}
senders: {SCANNER: }
destinations: {eclipse: {ae_title: ECLIPSE, host: 127.0.0.1, port: 11113}}
protocols: {pelvis: {model: pelvis-ct@2.0, allow_unvalidated: true, structures: {Bladder: }}}
routes: [{name: all, when: {Modality: CT}, contour: pelvis, send_to: [eclipse], mode: send}]
evaluation: {commissioning: {cases: 10}, alarm: {measure: hd95_mm, weight: 0.2}}
"""


@pytest.fixture
def report(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "var").mkdir()
    loaded = load(tmp_path / "config.yaml")
    ledger = Ledger(loaded.database_url, loaded.storage)
    ledger.migrate()
    write_down(ledger, [reviewed(week=k, hd95_mm=float(k)) for k in range(9)])
    case_on_disk(ledger, loaded.storage, hd95_mm=20.0)
    write_down(ledger, [reviewed("Rectum", model="gone@1.0"), reviewed("Rectum", is_shadow=True)])
    plan = plan_of(loaded.site)
    found = overview(ledger, AuditTrail(ledger), plan, Wanted())
    yield commissioning_report(found, plan, loaded, ledger, "2026-01-20")
    ledger.close()


def test_models_are_named_with_the_hash_of_their_weights_and_whether_they_are_here(report):
    here, gone = report.models
    card = find_bundle("pelvis-ct@2.0", ())
    weights = (card.folder / card.weights.file).read_bytes()
    assert (here.reference, here.sha256) == ("pelvis-ct@2.0", hashlib.sha256(weights).hexdigest())
    assert here.validated is False
    assert (gone.reference, gone.sha256) == ("gone@1.0", "the node does not have this bundle")


def test_structures_in_use_are_there_with_the_pictures_that_can_be_drawn(report):
    bladder, rectum = report.structures
    assert (bladder.chart.group.structure, bladder.is_complete, rectum.is_complete) == (
        "Bladder",
        True,
        False,
    )
    assert bladder.examples["worst"].measures["hd95_mm"] == 20.0
    assert list(bladder.pictures) == ["worst"]  # of the others there is no CT
    assert rectum.chart.group.model == "gone@1.0"  # and not the shadow


def test_the_rule_is_that_of_the_configuration(report):
    assert (report.node, report.made) == ("NODE7", "2026-01-20")
    assert "the first 10 reviewed cases" in report.rule
    assert "weight 0.2" in report.rule
    assert report.rule.endswith("watched is HD95 (mm).")
