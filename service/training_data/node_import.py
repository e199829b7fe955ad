"""A data set of a node's approved cases, by the import that an export goes through; always anonymised.

What came while an interrupted run lay still is left to the next data set: the records keep until when sets
count.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from models.full_disk import disk_errors
from service.errors import DataRefused
from service.training_data.case_drawing import Rules
from service.training_data.import_run import ImportPlan, Track, run_import
from service.training_data.node_cases import Consent, node_cases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.backlog.ledger import Ledger
    from service.config.reader import LoadedSite
    from service.training_data.import_report import ImportReport

_UNTIL: Final = "unfinished-until.json"
_NAMES: Final = "unfinished-names.yaml"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the data set is to be.

    Attributes:
        out: the data set.
        records: the report; outside the data set.
        keep_aside: share of the patients who are test cases for good.
        validation: share of the patients in validation.
        since: sets that came earlier do not count, seconds since the epoch.
        structures: only these; all that are matched if None.
        names: further files of ROI names; they overrule how the node matched.
        licence: of the data.
    """

    out: Path
    records: Path
    keep_aside: float
    validation: float
    since: float = 0.0
    structures: frozenset[str] | None = None
    names: tuple[Path, ...] = ()
    licence: str = ""


def import_from_node(
    loaded: LoadedSite, ledger: Ledger, wish: Wish, report: ImportReport, track: Track
) -> None:
    """Make it, or go on with it.

    Raises:
        DataRefused: nobody agreed (``consent.none``), or as :func:`run_import`.
        DataSetInvalid: the data set cannot be written.
    """
    consent = Consent(loaded)
    if wish.records.resolve().is_relative_to(wish.out.resolve()):
        raise DataRefused(
            "records.inside", "The records must not lie in the data set. Choose another folder."
        )
    with disk_errors(DataRefused, "records"):
        wish.records.mkdir(mode=0o700, parents=True, exist_ok=True)
        until = _until(wish.records / _UNTIL)
        found = node_cases(ledger, consent, wish.since, until)
        _write_names(wish.records / _NAMES, found.names)
    report.remarks += found.remarks
    plan = ImportPlan(
        root=loaded.storage,
        out=wish.out,
        records=wish.records,
        names=(wish.records / _NAMES, *wish.names),
        rules=Rules(structures=wish.structures),
        anonymise=True,
        shares={
            "test": wish.keep_aside,
            "validation": wish.validation,
            "train": 1 - wish.keep_aside - wish.validation,
        },
        licence=wish.licence,
        files=found.files,
        source="Approved structure sets of a node",
        by_hash=True,
    )
    try:
        run_import(plan, report, track)
    except DataRefused as refused:
        if refused.code == "data.empty":  # nothing to go on with
            _forget(wish.records)
        raise
    _forget(wish.records)


def _until(file: Path) -> float:
    """The moment at which this run, or the one that was interrupted, began."""
    if not file.exists():
        file.write_text(json.dumps(time.time()), encoding="ascii")
    try:
        return float(json.loads(file.read_text(encoding="ascii")))
    except ValueError as error:
        sentence = f"{file.name} in the records cannot be read. Remove it and the unfinished data set."
        raise DataRefused("records.lost", sentence) from error


def _write_names(file: Path, names: Mapping[str, tuple[str, ...]]) -> None:
    """As a file of names; it holds ROI names as clinicians wrote them, so it stays no longer than need be."""
    file.touch(mode=0o600)
    structures = {structure: list(own) for structure, own in sorted(names.items())}
    text = yaml.safe_dump({"structures": structures}, allow_unicode=True, default_style='"')
    file.write_text(text, encoding="utf-8")


def _forget(records: Path) -> None:
    for name in (_UNTIL, _NAMES):
        (records / name).unlink(missing_ok=True)
