"""The one report of an import: what is in the data set, what is not, and why."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from models.data_sets.data_set import PARTS, Part
from models.full_disk import disk_errors
from service.errors import DataRefused
from service.training_data.remarks import Remark, Weight

UNUSUAL_TIMES: Final = 8.0
"""A volume this many times larger or smaller than the median is reported."""

_ENOUGH_CASES: Final = 5


@dataclass(frozen=True, slots=True)
class CaseMade:
    """One case of the data set.

    Attributes:
        name: of the case.
        patient: pseudonym.
        folder: in the export.
        origin: Series Instance UID, or name of the image.
        volumes_cm3: of each structure that is known; 0 where it is known to be absent.
    """

    name: str
    patient: str
    folder: str
    origin: str
    volumes_cm3: Mapping[str, float]


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        source: what the data set says of itself.
        cases: in the data set, or that would be in it.
        parts: by patient.
        remarks: on single things of the export; ``all_remarks`` adds those on the whole.
        suggestions: a structure with a name much like one that was not matched.
        fingerprint: of the data set; empty if none was made.
        looked_for: structures that were asked for, or that names of the export stand for.
    """

    source: str = ""
    cases: list[CaseMade] = field(default_factory=list)
    parts: Mapping[str, Part] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    suggestions: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    looked_for: Sequence[str] = ()

    @property
    def structures(self) -> list[str]:
        """Every structure that a case has."""
        return sorted({name for case in self.cases for name in case.volumes_cm3})

    def cases_in(self, part: Part) -> list[CaseMade]:
        """The cases of a part."""
        return [case for case in self.cases if self.parts.get(case.patient) == part]

    def known_in(self, structure: str) -> list[CaseMade]:
        """The cases that have a structure."""
        return [case for case in self.cases if structure in case.volumes_cm3]

    def all_remarks(self) -> list[Remark]:
        """Everything that a person must know; what is left out first."""
        order = list(reversed(Weight))
        remarks = [*self.remarks, *self._gaps(), *self._unusual_volumes()]
        return sorted(remarks, key=lambda one: (order.index(one.weight), one.code, one.folder, one.roi))

    def unmatched_names(self) -> Counter[str]:
        """ROI names that stand for no structure, and how often each was met."""
        codes = ("roi.name-unknown", "roi.no-side", "roi.name-ambiguous")
        return Counter(one.roi for one in self.remarks if one.code in codes)

    def _gaps(self) -> Iterator[Remark]:
        """Structures that some cases lack, or all: there they are unknown, and a person should know."""
        for structure in sorted(set(self.looked_for) - set(self.structures)):
            yield Remark("structure.nowhere", "It is known in no case.", Weight.LEFT_OUT, structure=structure)
        for structure in self.structures:
            known = {case.name for case in self.known_in(structure)}
            without = [case.name for case in self.cases if case.name not in known]
            if without:
                yield Remark(
                    "structure.not-everywhere",
                    f"It is known in {len(known)} of {len(self.cases)} cases, unknown (not absent) in "
                    f"{', '.join(without)}.",
                    Weight.NOTE if len(without) < len(self.cases) / 2 else Weight.WARNING,
                    structure=structure,
                )

    def _unusual_volumes(self) -> Iterator[Remark]:
        for structure in self.structures:
            cases = [case for case in self.known_in(structure) if case.volumes_cm3[structure] > 0]
            if len(cases) < _ENOUGH_CASES:
                continue
            median = float(np.median([case.volumes_cm3[structure] for case in cases]))
            for case in cases:
                volume = case.volumes_cm3[structure]
                if not median / UNUSUAL_TIMES <= volume <= median * UNUSUAL_TIMES:
                    yield Remark(
                        "structure.volume-unusual",
                        f"Its volume is {volume:.2f} cm3, the median of {len(cases)} cases {median:.2f} cm3.",
                        Weight.WARNING,
                        folder=case.folder,
                        patient=case.patient,
                        case=case.name,
                        structure=structure,
                    )

    def write(self, folder: Path, *, anonymous: bool) -> None:
        """Write ``report.yaml`` and ``report.csv``.

        Args:
            folder: made if absent.
            anonymous: leave out what was copied from the export: folders and ROI names.

        Raises:
            DataRefused: ``records.disk-full`` or ``records.unwritable``.
        """
        remarks = [one.anonymous() for one in self.all_remarks()] if anonymous else self.all_remarks()
        with disk_errors(DataRefused, "records"):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "report.csv").open("w", encoding="utf-8", newline="") as stream:
                table = csv.DictWriter(stream, list(Remark("", "", Weight.NOTE).as_row()))
                table.writeheader()
                table.writerows(one.as_row() for one in remarks)
            content = self._as_yaml(remarks, anonymous)
            (folder / "report.yaml").write_text(
                yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8"
            )

    def _as_yaml(self, remarks: Sequence[Remark], anonymous: bool) -> dict[str, Any]:
        content: dict[str, Any] = {
            "source": self.source,
            "fingerprint": self.fingerprint,
            "parts": {part: [case.name for case in self.cases_in(part)] for part in PARTS},
            "structures": {name: self._coverage(name) for name in self.structures},
        }
        if not anonymous:
            content["cases"] = {
                case.name: {"folder": case.folder, "origin": case.origin} for case in self.cases
            }
            content["names_not_matched"] = {
                name: {"times": times}
                | ({"like": self.suggestions[name]} if self.suggestions.get(name) else {})
                for name, times in self.unmatched_names().most_common()
            }
        content["remarks"] = [{key: value for key, value in one.as_row().items() if value} for one in remarks]
        return content

    def _coverage(self, structure: str) -> dict[str, Any]:
        volumes = [case.volumes_cm3[structure] for case in self.known_in(structure)]
        drawn = [volume for volume in volumes if volume > 0]
        figures = {"known_in": len(volumes), "of": len(self.cases), "absent_in": len(volumes) - len(drawn)}
        if not drawn:
            return figures
        return figures | {
            "median_cm3": round(float(np.median(drawn)), 2),
            "smallest_cm3": round(min(drawn), 2),
            "largest_cm3": round(max(drawn), 2),
        }
