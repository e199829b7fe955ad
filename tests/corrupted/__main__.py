"""``make second-look``: clean and spoiled CT that nobody has learned from, contoured and looked at as the node does.

Leaves ``build/second-look.json`` and ``build/second-look.md``, the tables of docs/second-look.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from corrupted.corruptions import Case
from corrupted.counting import Clean, Row, corrupted_rows, count_clean, dsc, findings_of
from models.card import read_card
from models.catalog import find_bundle
from models.predictor import OutputNotFinite, load
from models.training.data_set import DataSet
from models.training.phantom import NEVER_TRAINED_FROM_SEED, pelvic_phantom
from models.volume import OutsideTrainedRegion
from service.errors import ModelRefused

RIGHT_DSC = 0.8
FIRST_SEED = NEVER_TRAINED_FROM_SEED + 600


def main() -> None:
    """Contour the clean ones, spoil them, count, and write both tables."""
    given = _arguments()
    folder = Path(given.model)
    card = read_card(folder / "card.yaml") if folder.is_dir() else find_bundle(given.model, ())
    predictor = load(card, given.device)

    def segment(volume):
        try:
            return predictor.segment(volume)
        except (OutsideTrainedRegion, OutputNotFinite) as error:
            raise ModelRefused(error.code, str(error)) from error

    rows, cases = [], []
    sources = [("phantoms", _phantoms(given.phantoms))]
    if given.data:
        sources.append((given.data_name, _cases_of(given.data)))
    for what, source in sources:
        clean = Clean(what)
        for volume, truth, sample in source:
            started = time.perf_counter()
            said = segment(volume)
            findings = findings_of(said, volume, card)
            shown = {name: each.mask(volume.hu.shape) for name, each in said.structures.items()}
            right = {
                name: dsc(mask, truth[name]) >= RIGHT_DSC for name, mask in shown.items() if name in truth
            }
            count_clean(clean, findings, right)
            fields = {name: each for name, each in said.structures.items() if right.get(name)}
            cases.append((Case(volume, fields, sample), {(each.code, each.structure) for each in findings}))
            print(f"{what} {clean.cases}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        rows.append(clean)
    spoiled = []
    for row in corrupted_rows(cases, card, repeats=given.repeats, segment=None if given.no_ct else segment):
        print(f"{row.what}: {row.found} of {row.cases}", file=sys.stderr)
        spoiled.append(row)
    given.out.mkdir(parents=True, exist_ok=True)
    content = {
        "model": card.reference,
        "clean": [asdict(each) for each in rows],
        "spoiled": [asdict(each) for each in spoiled],
    }
    (given.out / "second-look.json").write_text(json.dumps(content, indent=1))
    text = f"{table_of_spoiled(spoiled)}\n\n{table_of_clean(rows)}\n"
    (given.out / "second-look.md").write_text(text)
    print(text)


def table_of_spoiled(rows: list[Row]) -> str:
    """What was done, how often it was seen, how strictly, and by which codes."""
    lines = ["| what was done | cases | seen | stop | hold | note | by |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        levels = [str(row.strictest[level]) for level in ("stop", "hold", "note")]
        by = _counts(row.codes)
        refused = f" ({row.refused} refused)" if row.refused else ""
        lines.append(f"| {row.what} | {row.cases} | {row.found}{refused} | {' | '.join(levels)} | {by} |")
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


def _phantoms(count: int):
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        phantom = pelvic_phantom(seed)
        sample = phantom.sample(phantom.grid())
        yield sample.volume, sample.truth(), sample


def _cases_of(folder: Path):
    data = DataSet.open(folder)
    for name in data.names():
        case = data.read(name)
        yield case.volume, {key: case.masks[key] for key in case.masks}, None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make second-look", description=__doc__)
    parser.add_argument("--model", default="pelvis-ct@2.0", help="NAME@VERSION, or a bundle's folder")
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--data", type=Path, help="a data set of further clean cases")
    parser.add_argument("--data-name", default="cases of a data set", help="what the table calls them")
    parser.add_argument(
        "--repeats", type=int, default=3, help="each corruption of each case, by other chance"
    )
    parser.add_argument("--no-ct", action="store_true", help="leave out what needs the model to run again")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("build"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
