"""``delineate promote``: two models side by side, a question, and the file with the two exchanged."""

from __future__ import annotations

import pytest
from reviewed_structures import reviewed, write_down
from typer.testing import CliRunner

from service.backlog.audit import AuditTrail, Deed
from service.backlog.ledger import Ledger
from service.command_line.promotion import app
from service.console.pages.configuration_history import history, kept_text
from service.errors import ConfigInvalid

CONFIG = """\
node: {storage: ./var}   # here
protocols:
  pelvis:
    model: pelvis-ct@2.0  # since spring
    shadow: external@1.0
    allow_unvalidated: true
routes: []
"""


@pytest.fixture
def house(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    ledger = Ledger(f"sqlite:///{tmp_path / 'var' / 'delineate.sqlite'}")
    ledger.migrate()
    yield tmp_path, ledger
    ledger.close()


def promote(house, *words, stdin="", **how):
    config = ("--config", str(house[0] / "config.yaml"))
    return CliRunner().invoke(app, ["pelvis", *words, *config], input=stdin, **how)


def text(house) -> str:
    return (house[0] / "config.yaml").read_text()


def test_a_person_sees_both_and_agrees_and_takes_it_back(house):
    rows = []
    for number, (old, new) in enumerate([(0.80, 0.90), (0.82, 0.88), (0.84, 0.84)], 1):
        for shadow, dsc in ((False, old), (True, new)):
            model = "external@1.0" if shadow else "pelvis-ct@2.0"
            rows.append(reviewed(set_id=number, dsc=dsc, model=model, is_shadow=shadow))
    write_down(house[1], rows)

    refused = promote(house, stdin="n\n", catch_exceptions=False)
    assert refused.exit_code == 1
    assert text(house) == CONFIG
    line = next(line for line in refused.output.splitlines() if "Bladder" in line)
    cells = [cell.strip() for cell in line.split("│") if cell.strip()]
    assert cells[:3] == ["Bladder", "3", "0.820 -> 0.880"]
    assert cells[-3:] == ["2", "0", "0"]
    assert "external@1.0 does not offer, so nobody gets any more: Bladder, " in refused.output

    assert promote(house, stdin="y\n", catch_exceptions=False).exit_code == 0
    swapped = (
        CONFIG.replace("pelvis-ct@2.0", "X")
        .replace("external@1.0", "pelvis-ct@2.0")
        .replace("X", "external@1.0")
    )
    assert text(house) == swapped
    storage = house[0] / "var"
    assert [kept_text(storage, kept.name) for kept in history(storage)] == [swapped, CONFIG]

    assert promote(house, "--yes", catch_exceptions=False).exit_code == 0
    assert text(house) == CONFIG
    told = [entry for entry in AuditTrail(house[1]).entries() if entry.deed is Deed.CONFIGURATION]
    assert [(entry.code, entry.facts["model"]) for entry in told] == [
        ("config.promoted", "external@1.0"),
        ("config.promoted", "pelvis-ct@2.0"),
    ]
    assert all(entry.who for entry in told)


def test_without_a_review_there_is_nothing_to_compare(house):
    assert "nothing to compare" in promote(house, stdin="n\n", catch_exceptions=False).output


def test_a_candidate_that_may_not_be_sent_is_not_promoted(house):
    before = CONFIG.replace("model: pelvis-ct@2.0", "model: external@1.0").replace(
        "shadow: external@1.0\n    allow_unvalidated: true", "shadow: pelvis-ct@2.0"
    )
    (house[0] / "config.yaml").write_text(before)
    with pytest.raises(ConfigInvalid, match="allow_unvalidated: true"):
        promote(house, "--yes", catch_exceptions=False)
    assert text(house) == before
    assert AuditTrail(house[1]).entries() == []
