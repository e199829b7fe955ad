"""The candidate of a protocol takes its model's place: two texts of the file change places, no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yaml.nodes import MappingNode, Node, ScalarNode

from service.config.yaml_traps import compose
from service.errors import NodeError

if TYPE_CHECKING:
    from service.config.protocol import Protocol
    from service.config.reader import LoadedSite


class PromotionRefused(NodeError):
    """A candidate cannot take its model's place."""


def candidate_of(loaded: LoadedSite, protocol: str) -> Protocol:
    """The protocol of that name, which has a candidate under ``shadow``.

    Raises:
        PromotionRefused: ``promotion.no-protocol``, ``promotion.no-candidate``.
    """
    found = loaded.protocol(protocol)
    if found is None:
        known = ", ".join(loaded.site.protocols) or "none"
        sentence = f"The configuration has no protocol {protocol}; it has: {known}."
        raise PromotionRefused("promotion.no-protocol", sentence)
    if found.shadow is None:
        sentence = f"Protocol {protocol} names no candidate; write one under `shadow` first."
        raise PromotionRefused("promotion.no-candidate", sentence)
    return found


def promoted(text: str, protocol: str) -> str:
    """The file with ``model`` and ``shadow`` of one protocol exchanged.

    Comments, order and layout stay as they are. The old model contours in the shadow from then on, so that
    the two can still be compared, and the same step takes the promotion back.

    Args:
        text: of a good file.
        protocol: with a candidate, see :func:`candidate_of`.

    Raises:
        PromotionRefused: ``promotion.by-hand``: the two are not written in the protocol itself.
    """
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    root, mistakes = compose(text)
    section = _value(_value(root, "protocols"), protocol)
    model, shadow = _value(section, "model"), _value(section, "shadow")
    if mistakes or not isinstance(model, ScalarNode) or not isinstance(shadow, ScalarNode):
        raise _by_hand(protocol)
    (first, of_first), (second, of_second) = sorted(
        ((model, shadow), (shadow, model)), key=lambda pair: pair[0].start_mark.index
    )
    written = [text[each.start_mark.index : each.end_mark.index] for each in (of_first, of_second)]
    return (
        bom
        + text[: first.start_mark.index]
        + written[0]
        + text[first.end_mark.index : second.start_mark.index]
        + written[1]
        + text[second.end_mark.index :]
    )


def must_be_promoted(before: LoadedSite, after: LoadedSite, protocol: str) -> None:
    """See to it that the candidate is the model now and that nothing else is otherwise.

    An alias or a merged section may stand for more than one protocol.

    Raises:
        PromotionRefused: ``promotion.by-hand``.
    """
    old = before.site.protocols[protocol]
    others = {name: one for name, one in before.site.protocols.items() if name != protocol}
    same = all(after.site.protocols.get(name) == one for name, one in others.items())
    new = after.site.protocols[protocol]
    if not same or (new.model, new.shadow) != (old.shadow, old.model):
        raise _by_hand(protocol)


def _value(node: Node | None, key: str) -> Node | None:
    if not isinstance(node, MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _by_hand(protocol: str) -> PromotionRefused:
    sentence = (
        f"Model and candidate of {protocol} are not both written in its own section, as texts; "
        "exchange the two by hand in the file."
    )
    return PromotionRefused("promotion.by-hand", sentence)
