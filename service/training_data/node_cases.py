"""The cases of a node that clinicians approved: which CT and sets, by which names, and what is left out.

A case is a CT that is still in the spool and the newest approved structure set that came back for it. Its
patient must have agreed, as far as ``evaluation.training`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.errors import DataRefused
from service.training_data.remarks import Remark, Weight
from service.training_data.roi_names import folded

if TYPE_CHECKING:
    from service.backlog.ledger import Ledger
    from service.backlog.records import Job
    from service.backlog.review_records import ReviewedSet
    from service.config.reader import LoadedSite

APPROVED: Final = "APPROVED"

_WHY_NOT: Final = {
    "review.no-ct": "The set was drawn on no CT that this node knows.",
    "review.not-approved": "The set is not approved.",
    "review.older": "A newer approved set of the same CT counts.",
    "review.set-deleted": "The set was deleted, as evaluation.keep_days says.",
    "ct.purged": "The CT was purged, as node.retention says; run this command more often, or keep CT longer.",
    "patient.no-consent": "The patient is not on the list of those who agreed.",
}


@dataclass(frozen=True, slots=True, repr=False)
class NodeCases:
    """What a node has to learn from.

    Attributes:
        files: images of the CTs and the structure sets.
        names: ROI names by structure, as the node matched them.
        remarks: on every set that is not taken.
    """

    files: tuple[Path, ...]
    names: Mapping[str, tuple[str, ...]]
    remarks: tuple[Remark, ...]


class Consent:
    """Who agreed.

    Args:
        loaded: the configuration.

    Raises:
        DataRefused: ``consent.none``: nobody was asked; ``consent.unreadable``: the list is not there.
    """

    def __init__(self, loaded: LoadedSite) -> None:
        said = loaded.site.evaluation.training
        if said.consent == "none":
            raise DataRefused(
                "consent.none",
                "The configuration gives nobody's CT for training. Set evaluation.training.consent to "
                "`listed` or `all`, once patients were asked or the law allows it.",
            )
        self._listed = None if said.consent_file is None else _listed(loaded.beside(said.consent_file))

    def given_by(self, patient_id: str) -> bool:
        """Whether the patient with this ID agreed."""
        return self._listed is None or patient_id in self._listed


def node_cases(ledger: Ledger, consent: Consent, since: float, until: float) -> NodeCases:
    """Every approved case whose set came between two moments (seconds since the epoch)."""
    files: list[Path] = []
    names: dict[str, dict[str, None]] = {}
    remarks: list[Remark] = []
    seen: set[int] = set()
    for each in ledger.reviewed_sets():  # newest first
        if not since <= each.received_at < until:
            continue
        job = _job_of(each, ledger)
        why = _why_not(each, job, ledger, consent, seen)
        if why is not None or job is None:
            code = why or "review.no-ct"
            remarks.append(Remark(code, _WHY_NOT[code], Weight.LEFT_OUT))
            continue
        seen.add(job.series_id)
        file = ledger.reviewed_file(each.id)
        files += [*job.files, *([file] if file is not None else [])]
        for structure in ledger.find_reviewed_structures(set_id=each.id, with_superseded=True):
            if structure.their_name:
                names.setdefault(structure.structure, {})[structure.their_name] = None
    agreed, ambiguous = _without_ambiguous(names)
    return NodeCases(tuple(files), agreed, (*remarks, *ambiguous))


def _job_of(each: ReviewedSet, ledger: Ledger) -> Job | None:
    """The job with most slices that the set was compared with: its files are the CT. None if forgotten."""
    if each.series_id is None:
        return None
    rows = ledger.find_reviewed_structures(set_id=each.id, with_superseded=True)
    jobs = [ledger.job(job_id) for job_id in sorted({row.job_id for row in rows})]
    return max(jobs, key=lambda job: len(job.files), default=None)


def _why_not(
    each: ReviewedSet, job: Job | None, ledger: Ledger, consent: Consent, seen: set[int]
) -> str | None:
    if job is None:
        return "review.no-ct"
    if each.approval != APPROVED:
        return "review.not-approved"
    if job.series_id in seen:
        return "review.older"
    file = ledger.reviewed_file(each.id)
    if file is None or not file.is_file():
        return "review.set-deleted"
    series = ledger.series(job.series_id)
    if series.purged_at is not None or not all(image.is_file() for image in job.files):
        return "ct.purged"
    return None if consent.given_by(series.identity.patient_id) else "patient.no-consent"


def _without_ambiguous(
    names: Mapping[str, Mapping[str, None]],
) -> tuple[dict[str, tuple[str, ...]], list[Remark]]:
    """Names that stand for one structure each; a remark on each of the others."""
    meant: dict[str, set[str]] = {}
    for structure, own in names.items():
        for name in own:
            meant.setdefault(folded(name), set()).add(structure)
    unclear = {name for name, structures in meant.items() if len(structures) > 1 or not name}
    agreed = {
        structure: tuple(name for name in own if folded(name) not in unclear)
        for structure, own in names.items()
    }
    sentence = "Different sets use one ROI name for different structures; the list of names decides."
    remarks = [Remark("roi.name-ambiguous", sentence, Weight.WARNING, roi=name) for name in sorted(unclear)]
    return agreed, remarks


def _listed(file: Path) -> frozenset[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataRefused(
            "consent.unreadable",
            f"evaluation.training.consent_file cannot be read as text ({type(error).__name__}).",
        ) from error
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))
