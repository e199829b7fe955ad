"""What a trial's job is called: a protocol that a person tries on a stored CT, of which nothing is sent.

It bears the protocol's name between ``trial:`` and a number, which no name in a configuration can be. So a
trial never stands for the job that a route asks for: that is made and sent as if there were no trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlalchemy as sa

_BEGINS: Final = "trial:"


def trial_name(protocol: str, number: int) -> str:
    """What the ``number``-th trial of a protocol on one CT has for its protocol."""
    return f"{_BEGINS}{protocol}:{number}"


def is_trial(protocol: str) -> bool:
    """Whether a job with this for its protocol is a trial."""
    return protocol.startswith(_BEGINS)


def configured_name(protocol: str) -> str:
    """The protocol's name in the configuration, of any job."""
    return protocol.split(":")[1] if is_trial(protocol) else protocol


def no_trial(column: sa.Column[str]) -> sa.ColumnElement[bool]:
    """Selects the jobs that are none."""
    return ~column.startswith(_BEGINS, autoescape=True)
