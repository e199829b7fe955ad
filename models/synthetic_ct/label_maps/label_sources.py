"""Label maps as patients of whom synthetic CT can be made, and files of tissue maps made from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.data_sets.case_file import DataSetInvalid
from models.synthetic_ct.label_maps.completion import PHANTOM, complete
from models.synthetic_ct.label_maps.label_maps import LabelMap, label_map_folders, read_label_map
from models.synthetic_ct.label_maps.label_tissues import own_tissues
from models.synthetic_ct.label_maps.patient_box import BOX_ZYX
from models.synthetic_ct.synthesis import Source, scanner_of
from models.synthetic_ct.tissues.tissue_maps import (
    HELD_OUT_PATIENTS,
    TissueMap,
    read_tissue_map,
    tissue_map_names,
    write_tissue_maps,
)

FILE_AND_NAME: Final = ".npz:"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one label map.

    Attributes:
        name: of the label map.
        bones_dsc: how well the template's bones lie on its own; None if it was not completed now.
        remark: why it was refused, that it was there already, or which labels are no tissue; may be empty.
        refused: whether it was refused.
    """

    name: str
    bones_dsc: float | None
    remark: str = ""
    refused: bool = False


def template_named(text: str, device: str = "cpu") -> TissueMap | None:
    """The template that a person names: ``phantom`` (None), ``FILE.npz:NAME``, or the folder of a label map.

    Raises:
        DataSetInvalid: ``labels.no-template``, or what `complete` and `read_tissue_map` refuse.
    """
    if text == PHANTOM:
        return None
    file, found, name = text.partition(FILE_AND_NAME)
    if found:
        path = Path(file + FILE_AND_NAME[:-1])
        if name not in tissue_map_names(path):
            raise DataSetInvalid("labels.no-template", f"The file of tissue maps has no map {name}.")
        template = read_tissue_map(path, name)
        if template.codes.shape != BOX_ZYX:
            raise DataSetInvalid(
                "labels.no-template", f"Tissue map {name} lies in another box than {BOX_ZYX}."
            )
        return template
    if not Path(text).is_dir():
        sentence = (
            "The template is 'phantom', FILE.npz:NAME or the folder of a label map; this is none of them."
        )
        raise DataSetInvalid("labels.no-template", sentence)
    completed = complete(read_label_map(Path(text)), None, device)
    return TissueMap(completed.map.source.partition("__")[0], completed.map.codes)


def label_sources(
    folder: Path, template: TissueMap | None, device: str = "cpu"
) -> tuple[list[Source], list[Outcome], str]:
    """Patients of a folder of label maps, those of it that cannot be used, and the licences of the rest.

    Each is completed when its first scan is made.

    Raises:
        DataSetInvalid: ``labels.none``, and ``labels.unreadable`` and its like for a map that is damaged.
    """

    def of(one: Path, name: str) -> Source:
        return Source(
            name,
            lambda: scanner_of(complete(read_label_map(one), template, device).map),
            name.startswith(HELD_OUT_PATIENTS),
        )

    sources, unused, licences = [], [], set()
    for one in label_map_folders(folder):
        label_map = read_label_map(one)
        if own_tissues(label_map).heads_zyx_mm is None:
            unused.append(Outcome(label_map.name, None, "no femoral heads on both sides", refused=True))
            continue
        sources.append(of(one, label_map.name))
        licences.add(label_map.licence)
    return sources, unused, "; ".join(sorted(licences - {""}))


def complete_all(
    folder: Path,
    file: Path,
    template: TissueMap | None,
    device: str,
    report: Callable[[int, int, str], None],
) -> list[Outcome]:
    """Complete every label map of a folder into a file of tissue maps.

    Each map is in the file once it is completed; those that are in it already stay as they are.

    Args:
        folder: of label maps, or one label map.
        file: of tissue maps, new or begun before.
        template: as `complete` takes it.
        device: where templates are fitted.
        report: told how many are done, how many there are, and the next one's name.

    Raises:
        DataSetInvalid: ``labels.none``, ``maps.unreadable``; refusals of single maps are in their outcome.
    """
    folders = label_map_folders(folder)
    there = {name.partition("__")[0] for name in tissue_map_names(file)} if file.exists() else set()
    outcomes = []
    for number, one in enumerate(folders):
        name = one.resolve().name
        report(number, len(folders), name)
        if name in there:
            outcomes.append(Outcome(name, None, "is in the file already"))
            continue
        try:
            outcomes.append(_completed(read_label_map(one), file, template, device))
        except DataSetInvalid as refusal:
            outcomes.append(Outcome(name, None, str(refusal), refused=True))
    report(len(folders), len(folders), "")
    return outcomes


def _completed(label_map: LabelMap, file: Path, template: TissueMap | None, device: str) -> Outcome:
    made = complete(label_map, template, device)
    write_tissue_maps(file, [made.map], add=True)
    remark = f"no tissue, left out: {', '.join(made.unused)}" if made.unused else ""
    return Outcome(label_map.name, made.bones_dsc, remark)
