"""What the jobs are called that no route asks for by a protocol's own name; nothing of them is sent.

A *trial* is a protocol that a person tries on a stored CT; a *shadow* is the candidate beside a protocol's
model, on the same CT. Each bears the protocol's name behind a word and a colon, which no name in a
configuration can be. So it never stands for the job that a route asks for: that is made and sent as if there
were neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlalchemy as sa

_TRIAL: Final = "trial:"
_SHADOW: Final = "shadow:"


def trial_name(protocol: str, number: int) -> str:
    """What the ``number``-th trial of a protocol on one CT has for its protocol."""
    return f"{_TRIAL}{protocol}:{number}"


def shadow_name(protocol: str) -> str:
    """What the job of the candidate beside a protocol's model has for its protocol."""
    return f"{_SHADOW}{protocol}"


def is_trial(protocol: str) -> bool:
    """Whether a job with this for its protocol is a trial."""
    return protocol.startswith(_TRIAL)


def is_shadow(protocol: str) -> bool:
    """Whether a job with this for its protocol runs in the shadow of that protocol's own."""
    return protocol.startswith(_SHADOW)


def why_never_sent(protocol: str) -> tuple[str, str] | None:
    """Code and sentence of what nobody may send on purpose either; None for a job that a route asks for."""
    if is_shadow(protocol):
        return "shadow.never-sent", "It runs in the shadow: nothing of it is sent. Promote its model first."
    if is_trial(protocol):
        sentence = "It is a trial: nothing of it is sent. Send the CT again, then a route asks for it."
        return "trial.never-sent", sentence
    return None


def configured_name(protocol: str) -> str:
    """The protocol's name in the configuration, of any job."""
    return protocol.split(":")[1] if is_trial(protocol) or is_shadow(protocol) else protocol


def no_trial(column: sa.Column[str]) -> sa.ColumnElement[bool]:
    """Selects the jobs that routes ask for: neither trials nor shadows."""
    return ~column.startswith(_TRIAL, autoescape=True) & no_shadow(column)


def no_shadow(column: sa.Column[str]) -> sa.ColumnElement[bool]:
    """Selects the jobs that somebody waits for."""
    return ~column.startswith(_SHADOW, autoescape=True)
