"""The structures of a case as its table shows them: colour, volume, from which slice to which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.config.output_objects import ObjectKind
from service.errors import StructureSetInvalid

if TYPE_CHECKING:
    from service.backlog.ledger import Story
    from service.config.protocol import Protocol

_NO_COLOR: Final = "#808080"


@dataclass(frozen=True, slots=True)
class Structure:
    """One row.

    Attributes:
        name: ROI Name, or the model's own name while there is no structure set.
        color: ``#rrggbb``.
        volume_cm3: as the model's answer had it, None if it is not known under this name.
        slices: how many have a contour.
        first_slice, last_slice: numbers of the lowest and the highest of them as the viewer counts, from 1;
            None if no contour says on which image it lies.
        from_mm, to_mm: lowest and highest position of a contour along z of the patient (LPS), None if none.
    """

    name: str
    color: str
    volume_cm3: float | None
    slices: int
    first_slice: int | None
    last_slice: int | None
    from_mm: float | None
    to_mm: float | None


def structure_set_of(story: Story, storage: Path) -> Path | None:
    """A structure set of the job that is still on disk: one that was to be sent, else any that was made."""
    sent = [each.file for each, _ in story.deliveries if each.kind is ObjectKind.RTSTRUCT]
    made = sorted((storage / "jobs" / story.job.id).glob("rtstruct*.dcm"))
    return next((file for file in (*reversed(sent), *made) if file.is_file()), None)


def structures_of(story: Story, file: Path | None, protocol: Protocol | None) -> list[Structure]:
    """In the order of the structure set; of the model's volumes alone if there is none to be read.

    ``protocol`` says under which names the site sends what the ledger has under the model's own.
    """
    volumes_cm3 = dict(story.volumes_cm3)
    for own, sent in (protocol.structures if protocol else {}).items():
        if sent is not None and sent.name is not None and own in volumes_cm3:
            volumes_cm3.setdefault(sent.name, volumes_cm3[own])
    if file is not None:
        changed = file.stat().st_mtime_ns
        try:
            drawn = _drawn(file, changed)
        except (StructureSetInvalid, OSError):
            drawn = ()
        if drawn:
            return [_with_volume(each, volumes_cm3) for each in drawn]
    return [
        Structure(name, _NO_COLOR, cm3, 0, None, None, None, None) for name, cm3 in story.volumes_cm3.items()
    ]


def _with_volume(drawn: Structure, volumes_cm3: Mapping[str, float]) -> Structure:
    return replace(drawn, volume_cm3=volumes_cm3.get(drawn.name))


@lru_cache(maxsize=32)
def _drawn(file: Path, _changed_ns: int) -> tuple[Structure, ...]:
    """Without volumes; read once for each version of the file."""
    from service.dicom.structure_set_reader import read_structure_set

    found = []
    structure_set = read_structure_set(file)
    numbers = {image: number for number, image in enumerate(structure_set.images, 1)}
    for roi in structure_set.rois:
        drawn = [each.points_lps_mm for each in roi.contours if len(each.points_lps_mm)]
        heights_mm = [float(points[0, 2]) for points in drawn]
        color = "#{:02x}{:02x}{:02x}".format(*roi.color) if len(roi.color) == 3 else _NO_COLOR
        slices = len({round(each, 2) for each in heights_mm})
        on = sorted(numbers[key] for each in roi.contours for key in each.images if key in numbers)
        first, last = (on[0], on[-1]) if on else (None, None)
        ends = (min(heights_mm), max(heights_mm)) if heights_mm else (None, None)
        found.append(Structure(roi.name, color, None, slices, first, last, *ends))
    return tuple(found)
