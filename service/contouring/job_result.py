"""What a contoured job leaves in its folder beside its structure sets, so that a crash does not lose it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.volume import Finding, Provenance, Severity
from service.backlog.spool import write_durably
from service.contouring.several_models import makers_in_words

if TYPE_CHECKING:
    from service.contouring.contoured_ct import ContouredCt

_FILE: Final = "result.json"


@dataclass(frozen=True, slots=True, repr=False)
class JobResult:
    """What the ledger is told of a contoured job.

    Attributes:
        provenance: the model.
        findings: of the CT and of the segmentation.
        volumes_cm3: by structure.
        seconds: by step.
    """

    provenance: Provenance
    findings: tuple[Finding, ...]
    volumes_cm3: dict[str, float]
    seconds: dict[str, float]

    @classmethod
    def of(cls, done: ContouredCt) -> JobResult:
        """Of a contoured CT."""
        found = done.segmentation
        findings = (*done.series.findings, *found.findings, *makers_in_words(found))
        return cls(found.provenance, findings, done.volumes_cm3, dict(found.seconds))

    def write(self, folder: Path) -> None:
        """Keep it in the job's folder; written after the sets that leave first, it says they are there."""
        write_durably(folder / _FILE, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, folder: Path) -> JobResult | None:
        """What was kept in the job's folder, if the job came that far."""
        try:
            content = json.loads((folder / _FILE).read_bytes())
        except FileNotFoundError:
            return None
        provenance = content["provenance"] | {"steps_down": tuple(content["provenance"]["steps_down"])}
        findings = tuple(
            Finding(**{**finding, "severity": Severity(finding["severity"])})
            for finding in content["findings"]
        )
        return cls(Provenance(**provenance), findings, content["volumes_cm3"], content["seconds"])
