"""What the file may say of findings: known codes and groups, four levels, and left and right no milder than stop."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.config.protocol import Protocol


def protocol(**second_look: str) -> Protocol:
    return Protocol.model_validate({"model": "m@1.0", "second_look": {**second_look}})


def test_codes_and_groups_get_levels() -> None:
    said = {"gaps": "note", "structure.overlap": "stop", "ct": "ignore", "side": "stop"}
    assert protocol(**said).second_look == said


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"gap": "note"}, "did you mean gaps"),
        ({"structure.overlaps": "hold"}, "did you mean structure.overlap"),
        ({"gaps": "off"}, "'ignore', 'note', 'hold' or 'stop'"),
        ({"side": "ignore"}, "never delivered"),
        ({"side": "note"}, "never delivered"),
        ({"structure.wrong-side": "hold"}, "never delivered"),
    ],
)
def test_what_cannot_be_said_is_refused_with_what_can(said: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        protocol(**said)


def test_a_mistake_stands_at_its_line(edited, mistakes) -> None:
    text = edited("    model: external@1.0\n", "    model: external@1.0\n    second_look: {gap: hold}\n")
    (mistake,) = mistakes(text)
    assert "second_look" in str(mistake)
    assert "did you mean gaps" in str(mistake)
