"""What ``delineate compare`` does: each model in processes of its own, so that memory comes back.

::

    OUT/<model>/recipe.yaml     what is trained, after all that was overridden
    OUT/<model>/run/            the training run, its bundle in run/bundle
    OUT/<model>/evaluation/     its evaluation
    OUT/prepared/               cases on the networks' grids, shared
    OUT/comparison.md, OUT/comparison.csv
    OUT/old-and-new.png         of two models, case by case
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import typer
from rich.table import Table

from models.cards.card import BundleError, Card, read_card
from models.cards.catalog import find_bundle
from models.data_sets.data_set import DataSet
from models.evaluation.comparison.comparison import Entry, Measured
from models.evaluation.comparison.files import markdown, write_csv
from models.evaluation.comparison.paired import PICTURE, draw_pairs, paired, paired_table
from models.evaluation.comparison.tables import ComparisonTable, tables
from models.evaluation.evaluation import EvaluationRefused, setting_of
from models.evaluation.files import FILE, read_evaluation
from models.evaluation.pictures import why_no_pictures
from models.evaluation.run import Options
from models.networks import NETWORKS
from models.training.bundles.bundle_writer import write_yaml
from models.training.recipes.comparison_recipe import is_trained, on_common_ground
from models.training.recipes.recipe import Recipe
from models.training.recipes.recipe_book import recipe_content, recipe_names, recipe_of, with_value
from service.command_line.tables import print_table
from service.process_life import Lifeline

_START: Final = (
    "from service.process_life import die_with_parent; die_with_parent(); "
    "from service.__main__ import main; main()"
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One model that is to be compared: a recipe that is trained, or a bundle that is there."""

    name: str
    folder: Path
    recipe: Recipe | None
    content: Mapping[str, Any]
    bundle: Card | None

    def entry(self, card: Card, options: Options, data: DataSet) -> Entry | None:
        """What was measured of it; None if that was something else, or nothing yet.

        Raises:
            EvaluationRefused: it cannot be measured on these data.
            BundleError: the bundle is not what its card says.
        """
        setting = setting_of(card, data, options.part, options.tolerance_mm, options.device)
        folder = self.folder / "evaluation"
        if not (folder / FILE).is_file():
            return None
        evaluation = read_evaluation(folder)
        if evaluation.setting != setting:
            return None
        dimensions = NETWORKS[card.network.name].dimensions if card.network else None
        stage = str(card.figures.get("stage", ""))
        return Entry(
            self.name,
            self.content.get("paper"),
            dimensions,
            stage,
            evaluation,
            self.content.get("published", {}),
        )


@dataclass(frozen=True, slots=True)
class Ground:
    """What all recipes are given in place of their own; as `on_common_ground`."""

    structures: tuple[str, ...]
    budget: str | None
    settings: Mapping[int | None, Sequence[str]]

    def notes(self) -> list[str]:
        """For readers of the tables."""
        said = []
        if self.structures:
            said.append(f"Every recipe learned {', '.join(self.structures)}, by one network.")
        if self.budget:
            said.append(f"Every recipe was given a budget of {self.budget}.")
        for dimensions, settings in self.settings.items():
            if settings:
                which = "Every recipe" if dimensions is None else f"Every recipe of a {dimensions}D network"
                said.append(f"{which} was given {', '.join(settings)}.")
        return said


def targets(named: Sequence[str], out: Path, ground: Ground, bundles: Sequence[Path]) -> list[Compared]:
    """What is to be compared: bundles by NAME@VERSION or folder; recipes by name, pattern or file.

    Raises:
        RecipeInvalid, BundleError: one is not there or is wrong, before anything is trained.
    """
    found: list[Compared] = []
    for each in named:
        if "@" in each or (Path(each) / "card.yaml").is_file():
            card = read_card(Path(each) / "card.yaml") if Path(each).is_dir() else find_bundle(each, bundles)
            found.append(_of_bundle(card, out))
            continue
        for name in [known for known in recipe_names() if fnmatchcase(known, each)] or [each]:
            content = on_common_ground(
                recipe_content(name),
                structures=ground.structures,
                budget=ground.budget,
                settings=ground.settings,
            )
            with_value(content, "validation.bundle", False)  # that is what the evaluation does
            recipe = recipe_of(content)
            found.append(Compared(recipe.name, _folder(out, recipe.name), recipe, content, None))
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise typer.BadParameter(f"{', '.join(twice)}: named twice")
    return found


def _of_bundle(card: Card, out: Path) -> Compared:
    name = str(card.recipe.get("name", ""))
    content = recipe_content(name) if name in recipe_names() else {}
    return Compared(card.reference, _folder(out, card.reference), None, content, card)


def _folder(out: Path, name: str) -> Path:
    return out / re.sub(r"[^A-Za-z0-9@._-]", "_", name)


class Failed(Exception):
    """One model could not be trained or measured; the message says why."""


class Comparison:
    """Trains and measures what was not trained and measured before.

    Args:
        data: to train and to measure on.
        options: of the evaluations.
        out: folder of the comparison.
        machine: further options of ``delineate train``.
    """

    def __init__(self, data: DataSet, options: Options, out: Path, machine: Sequence[str]) -> None:
        self._data, self._options, self._out, self._machine = data, options, out, machine
        self.entries: list[Entry] = []

    def run(self, each_of: Sequence[Compared]) -> Mapping[str, str]:
        """One after the other; why those that failed did, by name."""
        failed: dict[str, str] = {}
        for number, each in enumerate(each_of, start=1):
            print(f"[{number}/{len(each_of)}] {each.name}", flush=True)
            try:
                self.entries.append(self._measured(each))
            except (BundleError, EvaluationRefused, Failed) as error:
                failed[each.name] = str(error)
        return failed

    def show(self, ground: Ground, file: Path | None) -> None:
        """Print the tables and write them."""
        if not self.entries:
            return
        compared = [Measured(entry) for entry in self.entries]
        shown = [*self._pair(), *tables(compared)]
        text = markdown(compared, shown, ground.notes())
        for each in (self._out / "comparison.md", *([file] if file else [])):
            each.parent.mkdir(parents=True, exist_ok=True)
            each.write_text(text, encoding="utf-8")
        write_csv(compared, self._out / "comparison.csv")
        for table in shown:
            printed = Table(*table.head, title=table.title, title_justify="left")
            for line in table.lines:
                printed.add_row(*line)
            print_table(printed)

    def _pair(self) -> list[ComparisonTable]:
        """Of two models, the second after the first; with a picture."""
        if len(self.entries) != 2:
            return []
        old, new = self.entries
        pairs = paired(old.evaluation, new.evaluation)
        if not pairs:
            return []
        if why_no_pictures() is None:
            draw_pairs(old.name, new.name, pairs, self._out / PICTURE)
        return [paired_table(old.name, new.name, pairs)]

    def _measured(self, each: Compared) -> Entry:
        card = self._trained(each, each.recipe) if each.bundle is None else each.bundle
        options = self._options
        entry = each.entry(card, options, self._data)
        if entry is None:
            _run([
                "evaluate", card.folder, "--data", self._data.folder, "--out", each.folder / "evaluation",
                "--part", options.part or "all", "--tolerance-mm", options.tolerance_mm,
                "--worst", options.worst, "--device", options.device,
            ])  # fmt: skip
            entry = each.entry(card, options, self._data)
        if entry is None:
            raise Failed("its evaluation was changed while it was made")
        return entry

    def _trained(self, each: Compared, recipe: Recipe | None) -> Card:
        bundle = each.folder / "run" / "bundle" / "card.yaml"
        assert recipe is not None  # noqa: S101 - for the type checker: it is no bundle
        if bundle.is_file() and is_trained(read_card(bundle), recipe, self._data):
            return read_card(bundle)
        each.folder.mkdir(parents=True, exist_ok=True)
        write_yaml(each.folder / "recipe.yaml", each.content)
        _run([
            "train", each.folder / "recipe.yaml", "--data", self._data.folder, "--out", each.folder / "run",
            "--resume", "--prepared", self._out / "prepared", *self._machine,
        ])  # fmt: skip
        if not bundle.is_file() or not is_trained(read_card(bundle), recipe, self._data):
            raise Failed("its training ended before its time")
        return read_card(bundle)


def _run(arguments: Sequence[object]) -> None:
    """A command of ours in a process of its own; it ends when we do."""
    words = [sys.executable, "-P", "-c", _START, *map(str, arguments)]
    with Lifeline() as lifeline, _process(words, lifeline) as process:
        last = ""
        try:
            for line in process.stderr or ():
                print(line, end="", file=sys.stderr)
                last = line.strip() or last
        except KeyboardInterrupt:
            process.communicate()  # it was told too, and writes its checkpoint
            raise
        code = process.wait()
    if code < 0:
        raise Failed(f"its process was ended by signal {-code}; if that is 9, memory was short")
    if code:
        raise Failed(last or f"its process ended with code {code}")


def _process(words: Sequence[str], lifeline: Lifeline) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter and command
        words, stderr=subprocess.PIPE, text=True, pass_fds=lifeline.pass_fds, env=lifeline.environment()
    )
