"""The words in a structure set. Every text fits its element; sentences stay whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from models.volume import Finding, Provenance
from service.contouring.structure_names import Roi

DERIVED: Final = "derived"
"""Stands for a model's name in the provenance of a structure that was made of others."""

NOT_CLINICAL: Final = "NOT FOR CLINICAL USE"
_SYNTHETIC_ONLY: Final = f"{NOT_CLINICAL}: the model has seen synthetic CT only."
_REVIEW: Final = "Automatic contours, not approved: to be reviewed by a clinician before use."

_MORE: Final = "There are further remarks: ask for this job's story at the node."
_NOT_FOUND: Final = "structure.not-found"

_LABEL: Final = 16
_LONG_STRING: Final = 64
_SHORT_TEXT: Final = 1024


@dataclass(frozen=True, slots=True, repr=False)
class Replaced:
    """The structure set that a new one takes the place of.

    Attributes:
        sop_instance_uid: of that set.
        made_at: when it was made, in the site's time zone.
        slices: how many slices its CT had then.
    """

    sop_instance_uid: str
    made_at: datetime
    slices: int


@dataclass(frozen=True, slots=True, repr=False)
class SetTexts:
    """What is said in one structure set.

    Attributes:
        provenance: the model; of several, the first.
        findings: of the segmentation, and warnings about the CT.
        notes: sentences about the CT.
        not_drawn: ROI name by structure, of those that were asked for and have no contour.
        replaces: the set before this one.
        slices: how many slices the CT has.
        made_by: by structure, what made it where that is not ``provenance``.
    """

    provenance: Provenance
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    not_drawn: Mapping[str, str]
    replaces: Replaced | None
    slices: int
    made_by: Mapping[str, Provenance] = field(default_factory=dict)

    @property
    def validated(self) -> bool:
        """Whether every model that something in the set comes from was validated on real CT."""
        return self.provenance.validated and all(each.validated for each in self.made_by.values())

    def label(self, label: str) -> str:
        """Structure Set Label, 16 characters.

        ``NOT FOR CLINICAL USE`` has 20: a set of an unvalidated model is called NOT CLINICAL and, so that two
        of them can be told apart, the first three characters of its label.
        """
        if self.validated:
            return label[:_LABEL].rstrip()
        return f"NOT CLINICAL {label[:3]}".rstrip()

    def name(self, label: str) -> str:
        """Structure Set Name, 64 characters."""
        return _fitting([*self._warning(), label, self._model()], _LONG_STRING, " ")

    def series_description(self, wanted: str) -> str:
        """Series Description, 64 characters: what matters most comes first, what does not fit is left out."""
        replaced = self._replaced()
        if replaced and len(" ".join([*self._warning(), replaced])) > _LONG_STRING:
            replaced = replaced.partition(",")[0]
        parts = [*self._warning(), *([replaced] if replaced else []), wanted]
        return _fitting(parts if self._model() in wanted else [*parts, self._model()], _LONG_STRING, " ")

    def set_description(self) -> str:
        """Structure Set Description, 1024 characters; also what concerns structures that have no ROI."""
        sentences = [_REVIEW] if self.validated else [_SYNTHETIC_ONLY, _REVIEW]
        if self.replaces is not None:
            sentences.append(_sentence(self._replaced()))
        # Not "not found": the model found it, and it was left out for a reason that a person must read.
        left_out = [
            each for each in self.findings if each.structure in self.not_drawn and each.code != _NOT_FOUND
        ]
        sentences += [finding.sentence for finding in left_out]
        told = {finding.structure for finding in left_out}
        not_found = [name for structure, name in self.not_drawn.items() if structure not in told]
        if not_found:
            sentences.append(f"Not found: {', '.join(not_found)}.")
        sentences += [finding.sentence for finding in self.findings if finding.structure is None]
        return _fitting(dict.fromkeys([*sentences, *self.notes]), _SHORT_TEXT, " ", _MORE)

    def roi_description(self, roi: Roi, written: str) -> str:
        """ROI Description, 1024 characters: warnings about this structure, and those about all of them.

        Planning systems show this text beside the contours; few show the description of the set.
        """
        made_by = self.made_by.get(roi.structure, self.provenance)
        sentences = [] if made_by.validated else [_SYNTHETIC_ONLY]
        sentences += roi.remarks
        sentences += [finding.sentence for finding in self.findings if finding.structure == roi.structure]
        sentences += [finding.sentence for finding in self.findings if finding.structure is None]
        if written != roi.structure:
            sentences.append(f"Structure: {roi.structure}.")
        if roi.known.standing == "local":
            sentences.append("A local name: TG-263 has none for it.")
        return _fitting([*sentences, _REVIEW], _SHORT_TEXT, " ", _MORE)

    def models(self) -> list[str]:
        """Every model with its version, each once; what was derived has none of its own."""
        every = [self.provenance, *(each for each in self.made_by.values() if each.model != DERIVED)]
        return list(dict.fromkeys(f"{each.model} {each.version}" for each in every))

    def _model(self) -> str:
        return " + ".join(self.models())

    def _warning(self) -> list[str]:
        return [] if self.validated else [NOT_CLINICAL]

    def _replaced(self) -> str:
        if self.replaces is None:
            return ""
        at = self.replaces.made_at.strftime("%H:%M")
        return f"replaces the set of {at}, {self.replaces.slices} of {self.slices} slices"


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:] + "."


def _fitting(parts: Iterable[str], characters: int, between: str, more: str = "") -> str:
    """The parts that fit, in order, and ``more`` if some do not; the first is cut if even that does not."""
    text = between.join(wanted := list(parts))
    if len(text) <= characters:
        return text.rstrip()
    room = characters - len(between + more) if more else characters
    text = ""
    for part in wanted:
        longer = f"{text}{between}{part}" if text else part[:room]
        if len(longer) <= room:
            text = longer
    return f"{text}{between}{more}".rstrip() if more else text.rstrip()
