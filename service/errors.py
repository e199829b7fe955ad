"""Everything that can be refused or can fail. Each class says who must act and whether a retry helps.

::

    NodeError
    |- ConfigInvalid        the site's administrator: every mistake of the file at once
    |- InstanceRefused      the sender: carries the C-STORE status; never retried by us
    |- SeriesRefused        the person who made the CT or the routing; never retried
    |- SegmentationFailed   nobody at first: retried, then set aside
    |- ModelRefused         the person who chose the model: wrong region, weights that do not match
    |- DataRefused          the person who makes or names a data set for training
    |- StructureSetInvalid  a developer: the structure set did not survive being read back
    |- DeliveryFailed       the destination; retried where ``retry`` is True
    `- SpoolUnavailable     the administrator: disk full or read-only; retried

``code`` is stable and may be logged. The message is a sentence for people that says what to do; it may
name positions in mm, numbers and configuration, never a patient, a date, a UID or a path.
"""

from __future__ import annotations

from typing import Final

MODEL_KILLED: Final = "model.killed"
"""Code of a model process that was ended by SIGKILL, and not by us."""


class NodeError(Exception):
    """Base of all: ``code`` for machines, the message for people, ``retry`` if trying again may help."""

    retry = False

    def __init__(self, code: str, sentence: str, *, retry: bool | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        if retry is not None:
            self.retry = retry


class ConfigInvalid(NodeError):
    """The configuration file has mistakes; ``mistakes`` holds one line of text for each."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("config.invalid", "\n".join(mistakes))
        self.mistakes = mistakes


class InstanceRefused(NodeError):
    """One instance cannot be taken; ``status`` is the C-STORE status sent (PS3.4 Table B.2-1)."""

    def __init__(self, code: str, sentence: str, *, status: int) -> None:
        super().__init__(code, sentence)
        self.status = status


class SeriesRefused(NodeError):
    """A series must not be contoured; a person decides what to do."""


class SegmentationFailed(NodeError):
    """The model process failed; another try may work."""

    retry = True


class ModelRefused(NodeError):
    """The model does not fit this CT or its own card."""


class DataRefused(NodeError):
    """A data set for training cannot be made or used."""


class StructureSetInvalid(NodeError):
    """The structure set differs from what it was made of and must not leave."""


class DeliveryFailed(NodeError):
    """A structure set did not reach its destination."""


class SpoolUnavailable(NodeError):
    """Files cannot be written safely just now."""

    retry = True
