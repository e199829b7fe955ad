"""Clean and spoiled cases looked at as the node does, and what was found counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from corrupted.corruptions import METAL, OF_CT, OF_STRUCTURES, WIDE, Case, Spoiled
from models.cards.card import Card
from models.plausibility import FieldOfView, check_structure
from models.volume import CtVolume, Finding, Provenance, Segmentation, Severity
from service.config.protocol import Protocol
from service.contouring.second_look import looked_at

LEVELS = {Severity.STOP: "stop", Severity.HOLD: "hold"}


@dataclass
class Row:
    """One kind of corruption.

    ``found``: cases with a finding about what was spoiled that the clean case did not have. ``strictest``: of these,
    how many by the strictest level of such a finding. ``codes``: in how many cases each code was among them.
    """

    what: str
    cases: int = 0
    found: int = 0
    strictest: Counter = field(default_factory=Counter)
    codes: Counter = field(default_factory=Counter)


@dataclass
class Clean:
    """Cases in which nothing was spoiled. ``right``: structures of DSC 0.8 or more, ``findings`` about them."""

    what: str
    cases: int = 0
    structures: int = 0
    right: int = 0
    codes: Counter = field(default_factory=Counter)
    codes_of_wrong: Counter = field(default_factory=Counter)
    held: int = 0
    stopped: int = 0


def findings_of(said: Segmentation, volume: CtVolume, card: Card) -> tuple[Finding, ...]:
    """As the node would tell them, by the levels that hold where a site says nothing."""
    protocol = Protocol.model_validate(
        {"model": card.reference, "structures": dict.fromkeys(card.structures)}
    )
    of_each = dict.fromkeys(said.structures, card)
    return looked_at(said, protocol, of_each, volume.grid, volume.hu).findings


def said_of(case: Case | Spoiled, card: Card) -> Segmentation:
    """A segmentation with the fields of a case, and with what the model's process tells of each by itself."""
    view, grid = FieldOfView.of(case.volume), case.volume.grid
    told = [
        finding
        for name, field in case.fields.items()
        for finding in check_structure(name, card.structures[name], field, grid, view, ())
    ]
    made = Provenance(card.name, card.version, "0", validated=False)
    return Segmentation(dict(case.fields), made, tuple(told))


def count_corrupted(
    row: Row, case: Case, spoiled: Spoiled, clean: set[tuple[str, str | None]], card: Card
) -> None:
    """Look at one spoiled case and add what was found."""
    row.cases += 1
    findings = findings_of(said_of(spoiled, card), spoiled.volume, card)
    about = [
        each
        for each in findings
        if (each.code, each.structure) not in clean
        and (each.structure in spoiled.structures or each.structure is None or not spoiled.structures)
    ]
    if not about:
        return
    row.found += 1
    levels = {LEVELS.get(each.severity, "note") for each in about}
    row.strictest[next(level for level in ("stop", "hold", "note") if level in levels)] += 1
    row.codes.update({each.code for each in about})


def count_clean(row: Clean, findings: tuple[Finding, ...], right: dict[str, bool]) -> None:
    """Add one clean case; what is told of a structure that is wrong indeed is no false alarm."""
    row.cases += 1
    row.structures += len(right)
    row.right += sum(right.values())
    levels = set()
    for each in findings:
        if each.structure is None or right.get(each.structure, False):
            row.codes[each.code] += 1
            levels.add(each.severity)
        else:
            row.codes_of_wrong[each.code] += 1
    row.held += Severity.HOLD in levels
    row.stopped += Severity.STOP in levels


def corrupted_rows(
    cases: list[tuple[Case, set[tuple[str, str | None]]]], card: Card, *, repeats: int, seed: int = 1
) -> Iterator[Row]:
    """Every corruption done to every case, ``repeats`` times where chance decides."""
    for number, (what, spoil) in enumerate((OF_STRUCTURES | OF_CT).items()):
        row = Row(what)
        for k, (case, clean) in enumerate(cases):
            if what == METAL and case.sample is None:
                continue
            once = what in OF_CT or what == WIDE
            for again in range(1 if once else repeats):
                rng = np.random.default_rng((seed, number, k, again))
                count_corrupted(row, case, spoil(case, rng), clean, card)
        yield row


def dsc(one: np.ndarray, other: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|)."""
    return 2 * float((one & other).sum()) / max(1, int(one.sum()) + int(other.sum()))
