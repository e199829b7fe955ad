"""Models that are code: ``segment(volume) -> {name: probability or StructureField}``."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.cards.card import BundleError, Card
from models.cards.catalog import verified_bytes
from models.volume import CtVolume, StructureField

Answer = NDArray[np.floating] | StructureField
Program = Callable[[CtVolume], Mapping[str, Answer]]

_LEAST_PROBABILITY: Final = 1e-6


def load_program(card: Card) -> Program:
    """The function that the card names; a file is compiled only if its SHA-256 is the card's.

    Raises:
        BundleError: ``model.file-missing``, ``model.hash-mismatch`` or ``model.program-invalid``.
    """
    program = card.program
    if program is None:
        raise BundleError("model.card-invalid", f"{card.reference} is not a program.")
    if program.file is not None:
        content = verified_bytes(card.folder / program.file, program.sha256 or "", card.reference)
        module = types.ModuleType(f"bundle_{program.sha256}")
        module.__file__ = str(card.folder / program.file)
        sys.modules[module.__name__] = module  # dataclasses look their module up
        exec(compile(content, module.__file__, "exec"), module.__dict__)  # noqa: S102 - its hash was checked
        name = program.function
    else:
        place, _, name = (program.entry or "").partition(":")
        try:
            module = import_module(place)
        except ImportError as error:
            sentence = f"The program of {card.reference} is not installed."
            raise BundleError("model.file-missing", sentence) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise BundleError("model.program-invalid", f"The program of {card.reference} has no function {name}.")
    return function  # type: ignore[no-any-return]


def as_field(answer: Answer, shape_zyx: tuple[int, int, int]) -> StructureField | None:
    """A program's answer as a field; a probability becomes its logit, cropped. None if it is empty.

    Raises:
        BundleError: ``model.answer-invalid``, the answer does not lie on the CT.
    """
    if isinstance(answer, StructureField):
        ends = zip(answer.corner_zyx, answer.field.shape, shape_zyx, strict=True)
        if not all(at >= 0 and at + size <= count for at, size, count in ends):
            raise _does_not_fit()
        return answer if (answer.field > 0).any() else None
    if answer.shape != shape_zyx:
        raise _does_not_fit()
    if not np.isfinite(answer).all():  # kept, so that the caller's check finds it
        return StructureField(np.asarray(answer, np.float32), (0, 0, 0))
    box: list[slice] = []
    for axis in range(3):
        at = np.flatnonzero((answer > 0.5).any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(at):
            return None
        box.append(slice(max(int(at[0]) - 1, 0), min(int(at[-1]) + 2, shape_zyx[axis])))
    likely = np.clip(answer[box[0], box[1], box[2]], _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    logit = np.log(likely) - np.log1p(-likely)
    return StructureField(logit.astype(np.float32), (box[0].start, box[1].start, box[2].start))


def _does_not_fit() -> BundleError:
    return BundleError("model.answer-invalid", "The model's answer does not fit the CT and is not used.")
