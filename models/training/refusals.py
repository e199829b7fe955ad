"""Why a training run does not begin, or does not go on."""

from __future__ import annotations


class TrainingRefused(ValueError):
    """A run cannot begin, resume or go on; ``code`` is stable, the message is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
