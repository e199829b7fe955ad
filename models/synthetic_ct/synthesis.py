"""A data set of synthetic CT: which patients it has, how many scans of each, and what is known of them.

What a scan shows follows from the seed of the data set and the scan's name alone, so a data set that was
interrupted is gone on with, and a larger one of the same seed begins with the same scans.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from models.chance import Chance
from models.data_sets.case_file import Case, DataSetInvalid
from models.data_sets.data_set import DataSetWriter, Part, split
from models.synthetic_ct.phantoms.phantom import NEVER_TRAINED_FROM_SEED
from models.synthetic_ct.structure_extents import EXTENTS
from models.synthetic_ct.tissues.tissue_maps import (
    HELD_OUT_PATIENTS,
    UNUSABLE,
    TissueMap,
    read_tissue_map,
    tissue_map_names,
)
from models.synthetic_ct.whole_scan import Scan, Voxels, scan_of_map, scan_of_phantom

Scanner = Callable[[Voxels, Chance], Scan]


@dataclass(frozen=True, slots=True)
class Source:
    """A patient, or one of several renderings of a patient, of whom scans can be made.

    Attributes:
        patient: name; all scans of a patient are in one part of the data set.
        open: reads what is needed and gives what makes the scans.
        never_trained_on: kept for tests, whatever the split.
    """

    patient: str
    open: Callable[[], Scanner]
    never_trained_on: bool = False


def phantom_sources(first: int, end: int, *, reserved: bool = False) -> list[Source]:
    """Phantoms of the seeds ``first`` up to, not including, ``end``.

    Raises:
        DataSetInvalid: ``synthesis.reserved-seeds``, seeds that are never trained on and not ``reserved``.
    """
    if end > NEVER_TRAINED_FROM_SEED and not reserved:
        raise DataSetInvalid(
            "synthesis.reserved-seeds",
            f"Phantoms from seed {NEVER_TRAINED_FROM_SEED} on are kept for tests and evaluation. Choose "
            "lower ones, or make a test set (--test-set).",
        )

    def of(seed: int) -> Source:
        return Source(
            f"p{seed:06d}",
            lambda: lambda voxels, chance: scan_of_phantom(seed, voxels, chance),
            seed >= NEVER_TRAINED_FROM_SEED,
        )

    return [of(seed) for seed in range(first, end)]


def map_sources(file: Path) -> list[Source]:
    """The usable maps of a file of tissue maps."""

    def of(name: str) -> Source:
        patient = name.partition("__")[0]
        kept = patient.startswith(HELD_OUT_PATIENTS)
        return Source(patient, lambda: scanner_of(read_tissue_map(file, name)), kept)

    return [of(name) for name in tissue_map_names(file) if not name.startswith(UNUSABLE)]


def scanner_of(tissue_map: TissueMap) -> Scanner:
    """What makes scans of a tissue map."""
    return lambda voxels, chance: scan_of_map(tissue_map, voxels, chance)


@dataclass(frozen=True, slots=True)
class Synthesis:
    """A data set of synthetic CT that is to be made.

    Attributes:
        phantoms: phantoms to draw from.
        maps: tissue maps to draw from.
        cases: how many scans.
        seed: of the data set.
        voxels: grid of the scans, and the device on which they are made.
        shares: how the patients are split.
        phantom_share: how many scans are phantoms where there are maps too.
        test_set: every case is a test case.
    """

    phantoms: Sequence[Source]
    maps: Sequence[Source]
    cases: int
    seed: int
    voxels: Voxels
    shares: Mapping[Part, float] = field(
        default_factory=lambda: {"train": 0.7, "validation": 0.15, "test": 0.15}
    )
    phantom_share: float = 0.3
    test_set: bool = False

    def __post_init__(self) -> None:
        if not self.phantoms and not self.maps:
            raise DataSetInvalid(
                "synthesis.no-source",
                "There is nothing to make CT of: name phantoms, tissue maps or label maps.",
            )

    def plan(self) -> list[tuple[Source, str]]:
        """Every case: what it is made of, and its name; those of one source follow one another."""
        of_phantoms = self.cases if not self.maps else 0 if not self.phantoms else None
        count = round(self.cases * self.phantom_share) if of_phantoms is None else of_phantoms
        drawn = [*_in_turn(self.phantoms, count), *_in_turn(self.maps, self.cases - count)]
        numbers: dict[str, int] = {}
        named = []
        for source in drawn:
            number = numbers[source.patient] = numbers.get(source.patient, 0) + 1
            named.append((source, f"{source.patient}-{number}"))
        first = {id(source): at for at, source in reversed(list(enumerate(drawn)))}
        return sorted(named, key=lambda one: first[id(one[0])])

    def parts(self) -> dict[str, Part]:
        """The part of each patient; those that are never trained on are tested on."""
        sources = [source for source, _ in self.plan()]
        kept = {one.patient for one in sources if self.test_set or one.never_trained_on}
        drawn = split([one.patient for one in sources if one.patient not in kept], self.seed, self.shares)
        return dict(drawn) | dict.fromkeys(kept, "test")

    def write(self, writer: DataSetWriter, report: Callable[[int, int, str], None]) -> None:
        """Make and write every case that is not written yet.

        Args:
            writer: of the data set; the caller closes it.
            report: told how many cases are done, how many there are, and the name of the last one.
        """
        parts, plan = self.parts(), self.plan()
        done = set(writer.names)
        report(len(done), len(plan), "")
        for _, group in groupby(plan, key=lambda one: id(one[0])):
            missing = [(source, name) for source, name in group if name not in done]
            scanner = missing[0][0].open() if missing else None
            for source, name in missing:
                assert scanner is not None  # noqa: S101 - opened for this group
                volume, masks = scanner(self.voxels, self.chance(name))
                writer.add(Case(name, source.patient, volume, masks), parts[source.patient])
                done.add(name)
                report(len(done), len(plan), name)

    def chance(self, name: str) -> Chance:
        """What happens in the scan of this name."""
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        return Chance.of(self.seed, number, self.voxels.device)


def writer_of(folder: Path, synthesis: Synthesis, sources: str, licence: str = "") -> DataSetWriter:
    """A writer of the data set in ``folder``, which goes on with one that was begun alike.

    Args:
        folder: of the data set.
        synthesis: what will be written.
        sources: in words: seeds, files.
        licence: of the cases.

    Raises:
        DataSetInvalid: as `DataSetWriter`.
    """
    v = synthesis.voxels
    told = (
        f"Synthetic CT, no patient's: {sources}; {synthesis.cases} cases of {v.pixel_mm:g} x {v.pixel_mm:g} "
        f"x {v.slice_mm:g} mm, seed {synthesis.seed}, made on {v.device.partition(':')[0]}. What is measured "
        "on it is no clinical evidence."
    )
    return DataSetWriter(folder, tuple(EXTENTS), told, licence=licence, extents=EXTENTS)


def _in_turn(sources: Sequence[Source], count: int) -> list[Source]:
    return [sources[k % len(sources)] for k in range(count)] if sources else []
