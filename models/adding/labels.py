"""What a model calls its outputs, and what they are called here: the YAML that ``--labels`` names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.adding.small_yaml import mapping_in
from models.cards.card import BundleError
from models.cards.yaml_sections import SectionInvalid, section
from models.sides import side_in_words

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_~^-]{0,15}")
_UNSAID: Final = "as drawn in the model's training data, whose maker did not say from where to where"
_ANY_CM3: Final = (0.0, 20_000.0)


@dataclass(frozen=True, slots=True)
class MappedLabel:
    """One label as a structure; see :class:`models.cards.card.StructureCard`."""

    name: str
    extent: str = _UNSAID
    volume_cm3: tuple[float, float] = _ANY_CM3
    may_be_absent: bool = True
    several_parts: bool = False
    reaches_out: bool = False
    local_name: bool = False


def read_labels(
    file: Path | None, labels: Sequence[str], table: Path | None = None
) -> dict[str, MappedLabel]:
    """The labels that are offered, as structures; background is none of ``labels``.

    Args:
        file: maps each label to a TG-263 name, to a mapping with ``name`` and what else a card says of a
            structure, or to null: left out on purpose.
        labels: of the model.
        table: in the same form, for labels that ``file`` does not name; it may know others.

    Raises:
        BundleError: ``add.labels-unreadable``, ``add.labels-invalid``, ``add.labels-unmapped``.
    """
    said = {} if file is None else mapping_in(file, "add.labels-unreadable", "The file of labels")
    known = {} if table is None else mapping_in(table, "add.labels-unreadable", "The table of labels")
    content = {label: known[label] for label in labels if label in known} | said
    unmapped = [label for label in labels if label not in content]
    if unmapped:
        sentence = (
            f"These labels have no structure name: {', '.join(unmapped)}. Map each in the file that --labels "
            "names (label: TG-263 name), or to null to leave it out on purpose."
        )
        raise BundleError("add.labels-unmapped", sentence)
    foreign = [label for label in content if label not in labels]
    if foreign:
        sentence = f"The model has no label {', '.join(foreign)}; it has {', '.join(labels)}."
        raise BundleError("add.labels-invalid", sentence)
    mapped = {label: _mapped(label, value) for label, value in content.items() if value is not None}
    names = [one.name for one in mapped.values()]
    wrong = [name for name in names if not _NAME.fullmatch(name) or names.count(name) > 1]
    if wrong or not names:
        sentence = (
            f"Not usable as structure names: {', '.join(wrong) or 'none is mapped'}. A name has at most 16 "
            "letters, digits and _, and stands for one label."
        )
        raise BundleError("add.labels-invalid", sentence)
    swapped = [
        f"{label}: {one.name}"
        for label, one in mapped.items()
        if {side_in_words(label), side_in_words(one.name)} == {"left", "right"}
    ]
    if swapped:
        sentence = (
            f"A label of one side is a structure of the other: {', '.join(swapped)}. Correct the names."
        )
        raise BundleError("add.labels-invalid", sentence)
    return mapped


def _mapped(label: str, value: Any) -> MappedLabel:  # noqa: ANN401 - whatever the file says
    try:
        return section(MappedLabel, {"name": value} if isinstance(value, str) else value, label)
    except SectionInvalid as error:
        raise BundleError("add.labels-invalid", str(error)) from error
