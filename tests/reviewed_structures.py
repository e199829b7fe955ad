"""Rows of reviewed structures for tests, made without any DICOM."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from service.backlog.ledger import Ledger
from service.backlog.review_records import NewStructure, ReviewedStructure, SliceMeasures

WEEK = 7 * 86400.0
FIRST_AT = 1_760_000_000.0
"""9 October 2025, 08:53:20 UTC."""

UNTOUCHED = {
    "dsc": 1.0,
    "jaccard": 1.0,
    "hd95_mm": 0.0,
    "assd_mm": 0.0,
    "msd_mm": 0.0,
    "surface_dsc": 1.0,
    "added_path_mm": 0.0,
    "volume_cm3": 120.0,
    "reviewed_volume_cm3": 120.0,
    "centroid_shift_mm": 0.0,
    "slices_added_superior": 0.0,
    "slices_removed_superior": 0.0,
    "slices_added_inferior": 0.0,
    "slices_removed_inferior": 0.0,
    "slices_in_common": 20.0,
    "contours_untouched": 1.0,
    "worst_slice_dsc": 1.0,
}

_numbers = itertools.count(1)


def measures(**changes: float) -> dict[str, float]:
    """Those of a structure that was left as it is, but for ``changes``."""
    assert changes.keys() <= UNTOUCHED.keys(), changes
    return UNTOUCHED | changes


def reviewed(
    structure: str = "Bladder", *, week: float = 0.0, number: int | None = None, **changes: object
) -> ReviewedStructure:
    """A reviewed structure that came ``week`` weeks after ``FIRST_AT``; keys of the measures or of the row."""
    number = next(_numbers) if number is None else number
    received_at = FIRST_AT + week * WEEK
    of_measures = {key: changes.pop(key) for key in list(changes) if key in UNTOUCHED}
    row = ReviewedStructure(
        id=number,
        set_id=number,
        job_id=f"job{number:05d}",
        received_at=received_at,
        contoured_at=received_at - 3600,
        protocol="pelvis",
        ct_sender="CTSCANNER",
        model="pelvis-ct@2.0",
        is_shadow=False,
        structure=structure,
        their_name=structure,
        matched_by="name",
        code=None,
        sentence=None,
        measures=measures(**of_measures),
        estimated_grade="acceptable",
        reader_grade=None,
        approval="APPROVED",
    )
    return replace(row, **changes)


def new_structure(row: ReviewedStructure, slices: Sequence[SliceMeasures] = ()) -> NewStructure:
    """What the ledger is given for a row to come to be."""
    same = ("job_id", "contoured_at", "protocol", "ct_sender", "model", "is_shadow", "structure")
    same += ("their_name", "matched_by", "code", "sentence", "measures", "estimated_grade")
    return NewStructure(**{name: getattr(row, name) for name in same}, slices=tuple(slices))


def write_down(
    ledger: Ledger, rows: Iterable[ReviewedStructure], slices: Sequence[SliceMeasures] = ()
) -> list[int]:
    """Put the rows into a ledger, one set for each number of a set; the structures' rows there, in order."""
    ids = []
    sets: dict[int, int] = {}
    with ledger.begin() as conn:
        for row in rows:
            if row.set_id not in sets:
                name = hashlib.sha256(str(row.set_id).encode()).hexdigest()
                found = ledger.add_reviewed_set(
                    conn,
                    name=name[:32],
                    received_at=row.received_at,
                    series_id=None,
                    sender="TPS",
                    file=None,
                    sha256=name,
                    approval=row.approval or "",
                )
                assert found is not None
                sets[row.set_id] = found
            [each] = ledger.add_reviewed_structures(conn, sets[row.set_id], [new_structure(row, slices)])
            ids.append(each)
            if row.reader_grade is not None:
                ledger.grade(conn, each, row.reader_grade, "reader")
    return ids
