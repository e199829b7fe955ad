"""Which NIfTI files below a folder belong together. Three layouts are known, by the names of files alone:

::

    <anything>/ct.nii.gz                      one folder a CT: the image (ct, image or img)
    <anything>/Bladder.nii.gz                 with a mask a structure, named as ROIs are,
    <anything>/segmentations/Bladder.nii.gz   there or in segmentations, masks or structures,
    <anything>/label.nii.gz                   or one label map (label, labels, labelmap, seg, segmentation)
    labels.yaml or labels.json                beside it or in a folder above: number of each name

    imagesTr/<case>_0000.nii.gz               nnU-Net: one image and one label map a case,
    labelsTr/<case>.nii.gz                    and dataset.json with the labels

The first folder below the root is the patient (in nnU-Net's layout the case), unless ``patients.csv`` at the
root says otherwise (columns ``case``, ``patient``; the case is its folder below the root, or nnU-Net's name).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from service.training_data.export_files import folder_below
from service.training_data.remarks import Remark, Weight

IMAGES: Final = frozenset({"ct", "image", "img"})
LABEL_MAPS: Final = frozenset({"label", "labels", "labelmap", "seg", "segmentation"})
MASK_FOLDERS: Final = frozenset({"segmentations", "masks", "structures"})
_LABEL_FILES: Final = ("labels.yaml", "labels.yml", "labels.json", "dataset.json")


@dataclass(slots=True, repr=False)
class NiftiFiles:
    """The files of one CT.

    Attributes:
        image: the CT.
        case: its folder below the root, or nnU-Net's name.
        patient: who it is of.
        folder: below the root.
        masks: one a structure.
        label_map: all structures in one file.
        labels: ROI name by number.
    """

    image: Path
    case: str
    patient: str
    folder: str
    masks: list[Path] = field(default_factory=list)
    label_map: Path | None = None
    labels: Mapping[int, str] = field(default_factory=dict)


def stem(file: Path) -> str:
    """The name of a NIfTI file without its suffixes."""
    return file.name.removesuffix(".gz").removesuffix(".nii")


def find_nifti(root: Path, images: Iterable[Path]) -> tuple[list[NiftiFiles], list[Remark]]:
    """Put files together; say which ones belong to nothing."""
    finding = _Finding(root, sorted(images))
    return finding.found()


@dataclass
class _Finding:
    root: Path
    files: Sequence[Path]
    remarks: list[Remark] = field(default_factory=list)

    def found(self) -> tuple[list[NiftiFiles], list[Remark]]:
        """All cases, with the remarks on what is no case."""
        cases: dict[Path, NiftiFiles] = {}
        rest: list[Path] = []
        for file in self.files:
            if file.parent.name in ("imagesTr", "labelsTr"):
                self._nnunet(file, cases)
            elif stem(file).casefold() in IMAGES:
                self._image(file, cases)
            else:
                rest.append(file)
        for file in rest:
            self._drawn(file, cases)
        patients = self._patients()
        for case in cases.values():
            case.patient = patients.get(case.case, case.patient)
        for case in [one for one in cases.values() if not one.masks and one.label_map is None]:
            self._leave_out("ct.not-drawn", "Nothing is drawn on this image.", case.image)
        return [one for one in cases.values() if one.masks or one.label_map], self.remarks

    def _leave_out(self, code: str, sentence: str, file: Path) -> None:
        folder = folder_below(self.root, [file])
        self.remarks.append(Remark(code, sentence, Weight.LEFT_OUT, folder, file.name))

    def _image(self, file: Path, cases: dict[Path, NiftiFiles]) -> None:
        if file.parent in cases:
            self._leave_out("nifti.several-images", "The folder holds more than one image.", file)
            return
        folder = folder_below(self.root, [file])
        cases[file.parent] = NiftiFiles(file, folder, folder.split("/", maxsplit=1)[0], folder)

    def _drawn(self, file: Path, cases: dict[Path, NiftiFiles]) -> None:
        """A mask or a label map goes to the image of its folder, or of the folder above."""
        home = file.parent.parent if file.parent.name in MASK_FOLDERS else file.parent
        case = cases.get(home)
        if case is None:
            self._leave_out("nifti.no-image", "No image (ct, image or img) lies beside this file.", file)
        elif stem(file).casefold() not in LABEL_MAPS:
            case.masks.append(file)
        elif case.label_map is not None:
            self._leave_out("nifti.several-label-maps", "The folder holds more than one label map.", file)
        else:
            self._label_map(case, file)

    def _label_map(self, case: NiftiFiles, file: Path) -> None:
        labels = self._labels_for(file)
        if labels is None:
            self._leave_out(
                "nifti.no-labels",
                "No labels.yaml, labels.json or dataset.json says what the numbers of this label map mean.",
                file,
            )
        else:
            case.label_map, case.labels = file, labels

    def _nnunet(self, file: Path, cases: dict[Path, NiftiFiles]) -> None:
        """``cases`` has nnU-Net's by the place where the label map must be."""
        if file.parent.name == "labelsTr":
            case = cases.get(file.parent / stem(file))
            if case is None:
                self._leave_out("nifti.no-image", "imagesTr holds no image of this label map.", file)
            else:
                self._label_map(case, file)
            return
        name, _, channel = stem(file).rpartition("_")
        if channel != "0000" or not name:
            self._leave_out("nifti.other-channel", "Only the first channel (_0000) is taken, a CT.", file)
            return
        folder = folder_below(self.root, [file])
        cases[file.parent.parent / "labelsTr" / name] = NiftiFiles(file, name, name, folder)

    def _labels_for(self, file: Path) -> Mapping[int, str] | None:
        for folder in [one for one in file.parents if one.is_relative_to(self.root)]:
            for name in _LABEL_FILES:
                if (folder / name).is_file():
                    return read_labels(folder / name)
        return None

    def _patients(self) -> Mapping[str, str]:
        file = self.root / "patients.csv"
        if not file.is_file():
            return {}
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return {row["case"]: row["patient"] for row in csv.DictReader(stream) if row.get("patient")}


def read_labels(file: Path) -> Mapping[int, str] | None:
    """ROI name by number, from ``{name: number}`` or ``{number: name}``, perhaps under ``labels``.

    0 is the background and left out. None if the file says no such thing.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    pairs = content.get("labels", content) if isinstance(content, dict) else None
    if not isinstance(pairs, dict):
        return None
    labels: dict[int, str] = {}
    for one, other in pairs.items():
        number, name = (one, other) if str(one).isdecimal() else (other, one)
        if not str(number).isdecimal() or int(number) in labels:
            return None
        labels[int(number)] = str(name)
    labels.pop(0, None)
    return labels
