"""Statistics of a data set's cases, put into the card of a bundle without touching another line of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from models.cards.card import BundleError, Card, read_card
from models.cards.yaml_sections import plain
from models.data_sets.data_set import DataSet, Part
from models.evaluation.evaluation import EvaluationRefused
from models.predictor import Predictor, load
from models.training.bundles.case_statistics import Progress, statistics_of

MOST_CASES: Final = 200
_SECTION: Final = re.compile(r"^statistics:.*?(?=^[^\s#]|\Z)", re.MULTILINE | re.DOTALL)


def measured_statistics(  # noqa: PLR0913 - what is measured on what, each by its name
    card: Card,
    data: DataSet,
    part: Part | None,
    *,
    device: str = "auto",
    most: int = MOST_CASES,
    asked: int | None = None,
    progress: Progress = lambda _part, _case: None,
    predictor: Predictor | None = None,
) -> dict[str, Any]:
    """The section ``statistics`` for a bundle, measured on a part of a data set; None is all of it.

    ``most`` cases are looked at, and the model is run on ``asked`` of them, or on all.

    Raises:
        EvaluationRefused: ``evaluation.no-case``: the part is empty.
        DataSetInvalid: a case cannot be read.
        BundleError: the bundle's files are not those of its card.
    """
    names = data.names(part)[:most]
    if not names:
        where = "The data set has no case" + (f" in its {part} part" if part else "")
        raise EvaluationRefused("evaluation.no-case", f"{where}. Choose another part with --part.")
    patients = len({data.entry(name).patient for name in names})
    which = f"{len(names)} cases of {patients} patients of data set {data.fingerprint[:12]}"
    words = f"{which}: {data.contents.source}"
    cases = (data.read(name) for name in names)
    model = predictor or load(card, device)
    return statistics_of(model, cases, len(names), words, progress, asked)


def with_statistics(card: Card, section: Mapping[str, Any]) -> Card:
    """The bundle's card with ``section`` for its statistics, read back; all else stays as it is.

    Raises:
        BundleError: the card would not fit.
    """
    file = card.folder / "card.yaml"
    before = file.read_text(encoding="utf-8")
    text = _text(plain(section))
    rest = _SECTION.sub("", before)
    part = file.with_name(f".{file.name}.part")
    part.write_text(rest.rstrip("\n") + "\n" + text, encoding="utf-8")
    try:
        read_card(part)
    except BundleError:
        part.unlink()
        raise
    part.replace(file)
    return read_card(file)


def _text(section: Mapping[str, Any]) -> str:
    """The section as YAML with a line or two for each structure: a person shall find a range by eye."""
    lines = ["statistics:", f"  data: {_flow(section['data'], 4)}"]
    if "ct" in section:
        lines.append(f"  ct: {_flow(section['ct'], 4)}")
    lines.append("  structures:")
    lines += [f"    {name}: {_flow(each, 6)}" for name, each in section["structures"].items()]
    lines.append("  places:" if section["places"] else "  places: {}")
    for name, others in section["places"].items():
        lines.append(f"    {name}:")
        lines += [f"      {other}: {_flow(each, 8)}" for other, each in others.items()]
    return "\n".join([*lines, ""])


def _flow(value: Any, indent: int) -> str:  # noqa: ANN401 - any YAML value
    """On one line if it fits, its further lines indented."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100, default_flow_style=True)
    lines = [line.strip() for line in text.removesuffix("...\n").splitlines()]
    return f"\n{' ' * indent}".join(lines)
