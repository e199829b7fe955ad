"""What becomes of the findings of the second look: told, the set held, or the structure left out.

First the structures of the models are looked at, and those that are stopped go: nothing is derived of them.
Then what was derived is looked at. Findings that came with the model's answer are judged by the same rules.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from models.second_look.codes import Level, level_of
from models.second_look.look import Contoured, second_look
from models.volume import CtVolume, Finding, Segmentation, Severity
from service.contouring.derivation.evaluation import with_derived
from service.errors import ModelRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.cards.card import Card
    from models.second_look.noticed import Noticed
    from models.volume import Grid
    from service.config.protocol import Protocol

HELD: Final = "job.held-for-findings"
"""Code of a job that waits for a person because of what was found."""

_CUT: Final = "structure.cut-by-field-of-view"
_LEFT_OUT: Final = "left out"
_SEVERITIES: Final[Mapping[Level, Severity]] = {  # what is to be ignored has none
    "note": Severity.WARNING,
    "hold": Severity.HOLD,
    "stop": Severity.STOP,
}


def looked_at(
    segmentation: Segmentation,
    protocol: Protocol,
    cards: Mapping[str, Card],
    grid: Grid,
    hu: NDArray[Any] | None,
) -> Segmentation:
    """The segmentation with what is derived of it and all findings, without the structures that are stopped.

    Args:
        segmentation: of the models, with every structure that the protocol needs.
        protocol: what is derived, and what becomes of findings.
        cards: by structure, of the model that gives it.
        grid: of the CT.
        hu: ``(slices, rows, columns)`` CT numbers; None if they are not at hand.

    Raises:
        ModelRefused: with the code of the finding, where one about the whole CT stops it.
    """
    started = time.perf_counter()
    volume = None if hu is None else CtVolume(hu, grid)
    cut = {
        each.structure for each in segmentation.findings if each.code == _CUT and each.structure is not None
    }

    def contoured(said: Segmentation) -> Contoured:
        own = {name: card for name, card in cards.items() if name in said.structures}
        return Contoured(said.structures, grid, volume, own, cut)

    found = _judged(segmentation, protocol, second_look(contoured(segmentation)))
    spent = time.perf_counter() - started
    before = set(found.structures)
    derived = with_derived(found, protocol.derived, grid)
    started = time.perf_counter()
    made = [name for name in derived.structures if name not in before]
    if made:
        derived = _judged(derived, protocol, second_look(contoured(derived), made))
    spent += time.perf_counter() - started
    return replace(derived, seconds={**derived.seconds, "second_look": spent})


def held_because(findings: Iterable[Finding]) -> str | None:
    """Why a set waits for a person, as a sentence; None if nothing holds it."""
    holding = list(dict.fromkeys(each.sentence for each in findings if each.severity is Severity.HOLD))
    if not holding:
        return None
    more = f" And {len(holding) - 1} more: see the job's findings." if len(holding) > 1 else ""
    return f"Waits for a person to look at it: {holding[0]}{more}"


def _judged(segmentation: Segmentation, protocol: Protocol, noticed: Sequence[Noticed]) -> Segmentation:
    """The findings with their levels, and the structures that none of them stops."""
    told = {(each.code, each.structure) for each in segmentation.findings}
    unusual = {each.structure for each in segmentation.findings if each.code == "structure.volume-unusual"}
    further = [
        Finding(each.code, each.sentence, each.structure)
        for each in noticed
        if (each.code, each.structure) not in told
        and not (each.code == "structure.volume-beyond-training" and each.structure in unusual)
    ]
    judged = (_with_level(each, protocol) for each in (*segmentation.findings, *further))
    findings = [each for each in judged if each is not None]
    for each in findings:
        if each.severity is Severity.STOP and each.structure is None:
            raise ModelRefused(each.code, each.sentence)
    stopped = {each.structure for each in findings if each.severity is Severity.STOP}
    return replace(
        segmentation,
        structures={name: field for name, field in segmentation.structures.items() if name not in stopped},
        findings=tuple(_of_stopped(findings, stopped)),
    )


def _of_stopped(findings: Iterable[Finding], stopped: Collection[str | None]) -> Iterator[Finding]:
    """What is left out holds nothing any more, and the sentence that stops it says so."""
    for each in findings:
        if each.severity is Severity.STOP and _LEFT_OUT not in each.sentence:
            yield replace(each, sentence=f"{each.sentence} {each.structure} is left out. Draw it by hand.")
        elif each.severity is Severity.HOLD and each.structure in stopped:
            yield replace(each, severity=Severity.WARNING)
        else:
            yield each


def _with_level(finding: Finding, protocol: Protocol) -> Finding | None:
    """The finding with what becomes of it by the protocol; one that is only told stays as it is.

    None if a site ignores it.
    """
    wishes: list[Mapping[str, Level]] = [protocol.second_look]
    name = finding.structure or ""
    of_structure = protocol.derived.get(name) or protocol.structures.get(name)
    if of_structure is not None:
        wishes.insert(0, of_structure.second_look)
    level = level_of(finding.code, *wishes)
    if level == "ignore":
        return None
    if level is None or (level == "note" and finding.severity is Severity.NOTE):
        return finding
    return replace(finding, severity=_SEVERITIES[level])
