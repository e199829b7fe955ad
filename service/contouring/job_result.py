"""What a contoured job leaves in its folder beside its structure sets, so that a crash does not lose it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.volume import Finding, Provenance, Severity
from service.backlog.spool import write_durably
from service.contouring.several_models import makers_in_words

if TYPE_CHECKING:
    from service.config.output_objects import ObjectKind
    from service.contouring.contoured_ct import ContouredCt
    from service.errors import NodeError

_FILE: Final = "result.json"


@dataclass(frozen=True, slots=True, repr=False)
class JobResult:
    """What the ledger is told of a contoured job.

    Attributes:
        provenance: the model.
        findings: of the CT and of the segmentation.
        volumes_cm3: by structure.
        seconds: by step.
        not_made: kinds of objects that cannot be made of this CT; findings say why.
    """

    provenance: Provenance
    findings: tuple[Finding, ...]
    volumes_cm3: dict[str, float]
    seconds: dict[str, float]
    not_made: tuple[str, ...] = ()

    @classmethod
    def of(cls, done: ContouredCt, refused: Mapping[ObjectKind, NodeError]) -> JobResult:
        """Of a contoured CT, and why objects that are awaited of it cannot be made."""
        found = done.segmentation
        findings = (
            *done.series.findings,
            *found.findings,
            *makers_in_words(found),
            *(Finding(error.code, error.sentence) for error in refused.values()),
        )
        not_made = tuple(kind.value for kind in refused)
        return cls(found.provenance, findings, done.volumes_cm3, dict(found.seconds), not_made)

    def write(self, folder: Path) -> None:
        """Keep it in the job's folder; written last, it says that all of the job's files are there."""
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
        not_made = tuple(content.get("not_made", ()))
        made = (findings, content["volumes_cm3"], content["seconds"], not_made)
        return cls(Provenance(**provenance), *made)
