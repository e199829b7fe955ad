"""Derived structures of one CT: each made after those that it is made of, or left out with a reason.

Codes of findings: ``derived.source-missing``, ``derived.source-doubtful``, ``derived.source-warned``,
``derived.empty``, ``derived.too-large``, ``derived.beyond-external``, ``derived.axes-oblique``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Final

import numpy as np

from models.volume import Finding, Grid, Provenance, Segmentation, Severity, StructureField
from service.config.derivation import DerivedStructure, Step, in_order_of_need
from service.contouring.derivation import operations
from service.contouring.derivation.directions import by_array_axis, off_axis_degrees
from service.contouring.derivation.distance import Lattice, embedded
from service.contouring.derivation.rois import known_of
from service.contouring.derivation.words import in_words, step_in_words
from service.contouring.set_texts import DERIVED
from service.contouring.structure_names import structure_named

_EXTERNAL: Final = "External"
_DOUBTFUL: Final = frozenset({"structure.volume-unusual"})
"""Findings that say that a structure may be another one, or part of one: nothing is made of it."""

_FORGIVEN_CM3: Final = 0.1
_OBLIQUE_DEGREES: Final = 5.0


def with_derived(
    segmentation: Segmentation, derived: Mapping[str, DerivedStructure], grid: Grid
) -> Segmentation:
    """The segmentation with the structures that are made of its own, and what is to be said of them.

    Args:
        segmentation: with every structure that the derived ones need, as far as the models found them.
        derived: by name; none is made of itself.
        grid: of the CT.
    """
    if not derived:
        return segmentation
    started = time.perf_counter()
    made = _Derivation(segmentation, derived, grid)
    for name in in_order_of_need({name: one.needs for name, one in derived.items()}):
        made.add(name)
    seconds = {**segmentation.seconds, "derived": time.perf_counter() - started}
    return replace(
        segmentation,
        structures=made.fields,
        findings=(*segmentation.findings, *made.findings),
        seconds=seconds,
        made_by=made.made_by,
    )


class _Derivation:
    """The derived structures of one CT while they are made."""

    def __init__(
        self, segmentation: Segmentation, derived: Mapping[str, DerivedStructure], grid: Grid
    ) -> None:
        self.fields = dict(segmentation.structures)
        self.made_by = dict(segmentation.made_by)
        self.findings: list[Finding] = []
        self._segmentation = segmentation
        self._derived = derived
        self._grid = grid
        self._lattice = Lattice.of(grid)
        self._left_out: dict[str, str] = {}
        self._filled: dict[str, StructureField] = {}

    def add(self, name: str) -> None:
        """Make one structure, or say why not."""
        wanted = self._derived[name]
        reason = self._reason_of_sources(wanted)
        if reason is None:
            found, reason = self._made(wanted)
            if found is not None:
                reason = self._reason_of_size(name, wanted, found)
            if found is not None and reason is None:
                self.fields[name] = found
                self.made_by[name] = self._provenance(wanted)
                self._warn(name, wanted)
                return
        code, sentence = reason or ("derived.empty", "nothing remains")
        self._left_out[name] = sentence
        self.findings.append(Finding(code, f"{name} is left out: {sentence}.", name))

    def _reason_of_sources(self, wanted: DerivedStructure) -> tuple[str, str] | None:
        for source in wanted.needs:
            if source in self._left_out:
                return "derived.source-missing", f"{source} is left out ({self._left_out[source]})"
            if source not in self.fields:
                return "derived.source-missing", f"{source} was not found or was left out"
        for finding in self._segmentation.findings:
            if finding.structure in wanted.needs and finding.code in _DOUBTFUL:
                return "derived.source-doubtful", finding.sentence.rstrip(".")
        return None

    def _made(self, wanted: DerivedStructure) -> tuple[StructureField | None, tuple[str, str] | None]:
        sources = [self._source(name) for name in wanted.sources]
        found: StructureField | None = sources[0] if len(sources) == 1 else operations.union(sources)
        for step in wanted.in_order:
            if found is None:
                break
            found = self._after(found, step)
            if found is None:
                return None, ("derived.empty", f"nothing remains after this step: {step_in_words(step)}")
        return found, None

    def _source(self, name: str) -> StructureField:
        """A structure as it is sent: what its contours fill is filled."""
        if name in self._derived or structure_named(name).keeps_holes:
            return self.fields[name]
        if name not in self._filled:
            self._filled[name] = operations.filled(self.fields[name], "slices")
        return self._filled[name]

    def _after(self, part: StructureField, step: Step) -> StructureField | None:
        if step.margin is not None:
            return operations.margin(part, step.margin, self._lattice)
        if step.margins is not None:
            lower, higher = by_array_axis(step.margins, self._grid)
            return operations.directed_margin(part, lower, higher, self._lattice)
        if step.ring is not None:
            return operations.ring(part, step.ring.inner, step.ring.outer, self._lattice)
        if step.smooth is not None:
            return operations.smoothed(part, step.smooth, self._lattice)
        if step.fill_holes is not None:
            return operations.filled(part, step.fill_holes)
        if step.keep_largest is not None:
            return operations.largest(part, self._grid)
        return self._with_others(part, step)

    def _with_others(self, part: StructureField, step: Step) -> StructureField | None:
        others = [self._source(name) for name in step.names()]
        if step.union is not None:
            return operations.union([part, *others])
        if step.intersection is not None:
            return operations.intersection([part, *others])
        if step.inside is not None:
            return operations.inside(part, others[0], step.inside.mm, self._lattice)
        mm = 0.0 if step.away_from is None else step.away_from.mm
        return operations.away_from(part, others, mm, self._lattice)

    def _reason_of_size(
        self, name: str, wanted: DerivedStructure, found: StructureField
    ) -> tuple[str, str] | None:
        if not wanted.send:
            return None
        volume_cm3 = found.volume_cm3(self._grid)
        largest_cm3 = wanted.largest_cm3 or known_of(name, wanted).largest_cm3
        if volume_cm3 > largest_cm3:
            return "derived.too-large", f"it has {volume_cm3:.0f} cm3, more than {largest_cm3:.0f} cm3"
        external = self.fields.get(_EXTERNAL)
        if external is not None:
            outside_cm3 = self._outside_cm3(found, external)
            if outside_cm3 > max(_FORGIVEN_CM3, volume_cm3 / 1000):
                return "derived.beyond-external", f"{outside_cm3:.1f} cm3 of it lie outside {_EXTERNAL}"
        return None

    def _outside_cm3(self, part: StructureField, external: StructureField) -> float:
        outside = (part.field > 0) & ~(embedded(external, part.slices_zyx) > 0)
        by_slice = np.count_nonzero(outside, axis=(1, 2))
        return float(by_slice @ self._grid.voxel_volumes_mm3()[part.slices_zyx[0]]) / 1000

    def _warn(self, name: str, wanted: DerivedStructure) -> None:
        """What is said of the sources holds for what is made of them."""
        of_sources = [
            finding
            for finding in (*self._segmentation.findings, *self.findings)
            if finding.structure in wanted.needs and finding.severity is not Severity.NOTE
        ]
        for finding in of_sources:
            sentence = f"It is made of {finding.structure}: {finding.sentence}"
            self.findings.append(Finding("derived.source-warned", sentence, name))
        degrees = off_axis_degrees(self._grid)
        if degrees > _OBLIQUE_DEGREES and any(step.margins is not None for step in wanted.in_order):
            sentence = (
                f"The margins of {name} follow the axes of the CT, {degrees:.0f} degrees off the patient's."
            )
            self.findings.append(Finding("derived.axes-oblique", sentence, name))

    def _provenance(self, wanted: DerivedStructure) -> Provenance:
        sources = [self.made_by.get(name, self._segmentation.provenance) for name in wanted.needs]
        text = "\n".join([in_words(wanted), *(source.sha256 for source in sources)])
        return Provenance(
            model=DERIVED,
            version=version("delineate"),
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            validated=all(source.validated for source in sources),
            mode="distance fields",
        )
