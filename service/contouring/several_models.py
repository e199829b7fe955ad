"""Several models on one CT: which gives which structure, and what becomes of one that refuses the CT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from models.volume import Finding, Segmentation, Severity
from service.config.protocol_checks import given_by_each
from service.contouring.set_texts import DERIVED
from service.errors import ModelRefused

if TYPE_CHECKING:
    from models.cards.card import Card
    from models.stages import Peak
    from service.config.protocol import ModelOfSeveral, Protocol

LEFT_OUT: Final = "model.left-out"
"""Code of the finding about each structure of a model that refused the CT."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one model of a protocol gives.

    Attributes:
        use: what the protocol says of it.
        card: the model.
        structures: those that it gives, and no other model.
    """

    use: ModelOfSeveral
    card: Card
    structures: tuple[str, ...]


def shares_of(protocol: Protocol, cards: Sequence[Card]) -> tuple[Share, ...]:
    """Which of the structures that the protocol needs each model gives; one that gives none is left out.

    Raises:
        ModelRefused: ``model.structure-unknown``: no model gives one of them.
    """
    uses = protocol.uses
    if len(uses) == 1 and not uses[0].structures:
        return (Share(uses[0], cards[0], protocol.needs),)
    named, offers = [use.structures for use in uses], [card.structures for card in cards]
    given = given_by_each(named, offers, protocol.needs)
    missing = set(protocol.needs).difference(*given)
    if missing:
        sentence = f"No model of the protocol gives {', '.join(sorted(missing))}."
        raise ModelRefused("model.structure-unknown", sentence)
    return tuple(
        Share(use, card, structures)
        for use, card, structures in zip(uses, cards, given, strict=True)
        if structures
    )


def left_out(share: Share, refused: ModelRefused) -> tuple[Finding, ...]:
    """What is said of the structures of a model that refused the CT: one sentence, for each of them."""
    sentence = (
        f"{share.card.reference} refused this CT, so {', '.join(share.structures)} "
        f"{'are' if len(share.structures) > 1 else 'is'} left out: {refused.sentence}"
    )
    return tuple(Finding(LEFT_OUT, sentence, structure) for structure in share.structures)


def merged(found: Sequence[Segmentation], findings: Sequence[Finding]) -> Segmentation:
    """One segmentation of several of one CT, which have no structure in common.

    The first one's provenance is that of the whole; each structure of another keeps its own.
    """
    if len(found) == 1:
        return replace(found[0], findings=(*findings, *found[0].findings))
    return Segmentation(
        structures={name: field for each in found for name, field in each.structures.items()},
        provenance=found[0].provenance,
        findings=(*findings, *dict.fromkeys(finding for each in found for finding in each.findings)),
        seconds=_added([each.seconds for each in found]),
        peaks=_highest([each.peaks for each in found]),
        made_by={name: each.provenance for each in found for name in each.structures},
    )


def makers_in_words(segmentation: Segmentation) -> Iterator[Finding]:
    """Which model gave which structure, where there are several; for the record of the job."""
    by_maker: dict[tuple[str, str, str], list[str]] = {}
    for name in segmentation.structures:
        made = segmentation.maker(name)
        if made.model != DERIVED:
            by_maker.setdefault((made.model, made.version, made.sha256), []).append(name)
    if len(by_maker) > 1:
        for (model, version, sha256), names in by_maker.items():
            sentence = f"{', '.join(names)}: {model} {version}, sha256 {sha256[:16]}."
            yield Finding("model.gives", sentence, severity=Severity.NOTE)


def _added(seconds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in seconds:
        for name, spent in each.items():
            total[name] = total.get(name, 0.0) + spent
    return total


def _highest(peaks: Sequence[Mapping[str, Peak]]) -> dict[str, Peak]:
    highest: dict[str, Peak] = {}
    for each in peaks:
        for name, peak in each.items():
            if name not in highest or peak.resident > highest[name].resident:
                highest[name] = peak
    return highest
