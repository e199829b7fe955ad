"""``make second-look``: clean and spoiled CT that nobody has learned from, contoured and looked at as the node does.

Leaves ``build/second-look.json`` and ``build/second-look.md``, the tables of docs/second-look.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from corrupted.corruptions import Case
from corrupted.counting import Clean, Row, corrupted_rows, count_clean, dsc, findings_of, said_of
from models.cards.card import read_card
from models.cards.catalog import find_bundle
from models.data_sets.data_set import DataSet
from models.predictor import load
from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED, pelvic_phantom
from models.volume import StructureField

RIGHT_DSC = 0.8
FIRST_SEED = NEVER_TRAINED_FROM_SEED + 600


def main() -> None:
    """Look at clean cases, at what the model says of some, and at spoiled ones; count; write both tables."""
    given = _arguments()
    folder = Path(given.model)
    card = read_card(folder / "card.yaml") if folder.is_dir() else find_bundle(given.model, ())
    drawn, told = Clean("phantoms, as drawn"), Clean("phantoms, as the model contours them")
    others = Clean(f"{given.data_name}, as drawn")
    cases = []
    for number, sample in enumerate(_phantoms(given.phantoms, given.pixel_mm, given.slice_mm)):
        case = Case(sample.volume, _fields(sample.truth(), card), sample)
        cases.append((case, _counted(drawn, case, card)))
        if number < given.contoured:
            _count_contoured(told, sample, card, given.device)
        print(f"phantom {number + 1}", file=sys.stderr)
    for volume, masks in _cases_of(given.data) if given.data else ():
        case = Case(volume, _fields(masks, card))
        cases.append((case, _counted(others, case, card)))
    spoiled = []
    for row in corrupted_rows(cases, card, repeats=given.repeats):
        print(f"{row.what}: {row.found} of {row.cases}", file=sys.stderr)
        spoiled.append(row)
    clean = [each for each in (drawn, others, told) if each.cases]
    given.out.mkdir(parents=True, exist_ok=True)
    content = {
        "model": card.reference,
        "clean": [plain(each) for each in clean],
        "spoiled": [plain(each) for each in spoiled],
    }
    (given.out / "second-look.json").write_text(json.dumps(content, indent=1))
    text = f"{table_of_spoiled(spoiled)}\n\n{table_of_clean(clean)}\n"
    (given.out / "second-look.md").write_text(text)
    print(text)


def _fields(masks, card) -> dict[str, StructureField]:
    """What is drawn of the structures that the model offers, as fields."""
    return {
        name: StructureField.of_mask(masks[name])
        for name in card.structures
        if name in masks and masks[name].any()
    }


def _counted(row: Clean, case: Case, card) -> set[tuple[str, str | None]]:
    """Codes of a clean case, which has nothing wrong in it."""
    findings = findings_of(said_of(case, card), case.volume, card)
    count_clean(row, findings, dict.fromkeys(case.fields, True))
    return {(each.code, each.structure) for each in findings}


def _count_contoured(row: Clean, sample, card, device: str) -> None:
    """The same of what the model says; what it got wrong may be told."""
    said = load(card, device).segment(sample.volume)
    truth = sample.truth()
    shown = {name: each.mask(sample.hu.shape) for name, each in said.structures.items()}
    right = {name: name in truth and dsc(mask, truth[name]) >= RIGHT_DSC for name, mask in shown.items()}
    count_clean(row, findings_of(said, sample.volume, card), right)


def plain(row: Row | Clean) -> dict[str, object]:
    """A row as JSON has it."""
    return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(row).items()}


def table_of_spoiled(rows: list[Row]) -> str:
    """What was done, how often it was seen, how strictly, and by which codes."""
    lines = ["| what was done | cases | seen | stop | hold | note | by |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        levels = [str(row.strictest[level]) for level in ("stop", "hold", "note")]
        by = _counts(row.codes)
        lines.append(f"| {row.what} | {row.cases} | {row.found} | {' | '.join(levels)} | {by} |")
    return "\n".join(lines)


def table_of_clean(rows: list[Clean]) -> str:
    """How many clean sets would have been held, and every finding about structures that were right."""
    lines = [
        "| clean CT | cases | structures, of which right | sets held | sets with a structure stopped "
        "| findings about right ones | about others |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row.what, row.cases, f"{row.structures}, {row.right}", row.held, row.stopped]
        cells += [_counts(row.codes) or "none", _counts(row.codes_of_wrong) or "none"]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _counts(codes: Counter) -> str:
    return ", ".join(f"`{code}` {count}" for code, count in codes.most_common())


def _phantoms(count: int, pixel_mm: float, slice_mm: float):
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        phantom = pelvic_phantom(seed)
        yield phantom.sample(phantom.grid(pixel_mm=pixel_mm, slice_mm=slice_mm))


def _cases_of(folder: Path):
    data = DataSet.open(folder)
    for name in data.names():
        case = data.read(name)
        yield case.volume, case.masks


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make second-look", description=__doc__)
    parser.add_argument("--model", default="pelvis-ct@2.0", help="NAME@VERSION, or a bundle's folder")
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--pixel-mm", type=float, default=1.953125, help="of the phantoms")
    parser.add_argument("--slice-mm", type=float, default=3.0, help="of the phantoms")
    parser.add_argument("--data", type=Path, help="a data set of further clean cases")
    parser.add_argument("--data-name", default="cases of a data set", help="what the table calls them")
    parser.add_argument(
        "--repeats", type=int, default=3, help="each corruption of each case, by other chance"
    )
    parser.add_argument("--contoured", type=int, default=4, help="phantoms that the model contours too")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("build"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
