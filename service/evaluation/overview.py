"""Everything that a table, a page or a report of quality shows, read in one go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.evaluation.agreement import Agreement, agreement_of
from service.evaluation.drift import acknowledgements
from service.evaluation.quality import Plan, StructureChart, charts
from service.evaluation.summary import Group, Summary, summarise

if TYPE_CHECKING:
    from service.backlog.audit import AuditTrail
    from service.backlog.ledger import Ledger
    from service.backlog.review_records import ReviewedStructure
    from service.evaluation.charted import Measure


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked at; None: everything.

    Attributes:
        since: seconds since the epoch, of summary and agreement; charts begin with their commissioning.
        structure, protocol, model: exactly these.
        measure: what is charted, if not what is watched.
    """

    since: float | None = None
    structure: str | None = None
    protocol: str | None = None
    model: str | None = None
    measure: Measure | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is.

    Attributes:
        reviewed: the rows since ``since``, oldest first.
        lines: by structure, protocol, model version and sender.
        together: the same with all senders together.
        charts: by structure, protocol and model version.
        agreement: of estimated and readers' grades.
    """

    reviewed: Sequence[ReviewedStructure]
    lines: Sequence[Summary]
    together: Sequence[Summary]
    charts: Sequence[StructureChart]
    agreement: Agreement

    def line_of(self, chart: StructureChart) -> Summary | None:
        """The summary of a chart's structure; None if nothing of it is recent enough."""
        return next((each for each in self.together if each.group == chart.group), None)

    def by_structure(self) -> dict[tuple[str, str], list[StructureChart]]:
        """Charts of one structure and protocol together, as its model versions followed one another."""
        found: dict[tuple[str, str], list[StructureChart]] = {}
        for each in self.charts:
            found.setdefault((each.group.structure, each.group.protocol), []).append(each)
        return found


def overview(ledger: Ledger, audit: AuditTrail, plan: Plan, wanted: Wanted) -> Overview:
    """Read the ledger."""
    rows = ledger.find_reviewed_structures(
        structure=wanted.structure, protocol=wanted.protocol, model=wanted.model
    )
    return overview_of(rows, plan, acknowledgements(audit, plan), wanted)


def overview_of(
    rows: Iterable[ReviewedStructure],
    plan: Plan,
    acknowledged: Mapping[Group, Sequence[float]],
    wanted: Wanted,
) -> Overview:
    """Of rows of the ledger, oldest first; of those that are wanted."""
    everything = [each for each in rows if _is_wanted(each, wanted)]
    recent = [each for each in everything if wanted.since is None or each.received_at >= wanted.since]
    charted = wanted.measure or plan.measure
    known = acknowledged if charted is plan.measure else {}
    return Overview(
        reviewed=recent,
        lines=summarise(recent),
        together=summarise(recent, by_sender=False),
        charts=charts(everything, plan, known, charted),
        agreement=agreement_of(recent),
    )


def _is_wanted(each: ReviewedStructure, wanted: Wanted) -> bool:
    pairs = (
        (wanted.structure, each.structure),
        (wanted.protocol, each.protocol),
        (wanted.model, each.model),
    )
    return all(asked is None or asked == own for asked, own in pairs)
