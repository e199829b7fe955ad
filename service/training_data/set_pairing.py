"""Which structure set was drawn on which CT, by the references that it holds and by nothing else."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from service.training_data.export_files import CtFiles, Export, StructureSetFile, WhoseItIs
from service.training_data.remarks import Remark, Weight


@dataclass(frozen=True, slots=True, repr=False)
class PairedCt:
    """A CT series and the structure sets that were drawn on it, oldest first."""

    ct: CtFiles
    sets: tuple[StructureSetFile, ...]


class _Refused(Exception):
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


def pair(export: Export) -> tuple[list[PairedCt], list[Remark]]:
    """Give each structure set to the CT that it refers to; say which sets and CTs have no other half."""
    remarks: list[Remark] = []
    drawn: dict[str, list[StructureSetFile]] = defaultdict(list)
    for one in export.sets:
        folder = export.folder_of([one.file])
        try:
            ct = _ct_of(one, export)
        except _Refused as refused:
            remarks.append(Remark(refused.code, refused.sentence, Weight.LEFT_OUT, folder, one.label))
            continue
        drawn[ct.series_instance_uid].append(one)
        absent = len(one.images - ct.files.keys())
        if absent:
            sentence = (
                f"{absent} of the {len(one.images)} images that the structure set refers to are not here."
            )
            remarks.append(
                Remark("structure-set.images-missing", sentence, Weight.WARNING, folder, one.label)
            )
    pairs = []
    for uid, ct in sorted(export.series.items(), key=lambda item: min(item[1].all_files)):
        if uid in drawn:
            sets = sorted(drawn[uid], key=lambda one: (one.made_at, one.file))
            pairs.append(PairedCt(ct, tuple(sets)))
            continue
        sentence = f"No structure set of this export was drawn on this CT ({len(ct.files)} images)."
        remarks.append(Remark("ct.not-drawn", sentence, Weight.LEFT_OUT, export.folder_of(ct.all_files)))
    return pairs, remarks


def _ct_of(one: StructureSetFile, export: Export) -> CtFiles:
    if not one.series and not one.images:
        raise _Refused(
            "structure-set.no-reference",
            "The structure set does not say on which CT it was drawn. Export it with its references.",
        )
    found = [ct for uid, ct in export.series.items() if uid in one.series]
    if not one.series:
        found = [ct for ct in export.series.values() if one.images & ct.files.keys()]
    if not found:
        raise _Refused(
            "structure-set.other-ct",
            "The structure set was drawn on a CT that is not in this export. Export that CT with it.",
        )
    if one.images:
        found = [ct for ct in found if one.images & ct.files.keys()]
        if not found:
            raise _Refused(
                "structure-set.other-images",
                "The structure set names a CT series of this export, but its contours were drawn on images "
                "of another. Export both together.",
            )
    if len(found) > 1:
        raise _Refused(
            "structure-set.several-ct",
            f"The structure set was drawn on {len(found)} CT series at once. Export one set for each.",
        )
    if not _same_patient(one.whose, found[0].whose):
        raise _Refused(
            "structure-set.other-patient",
            "The structure set refers to a CT of another patient (PatientID or birth date differ). Check "
            "both at their source.",
        )
    return found[0]


def _same_patient(one: WhoseItIs, other: WhoseItIs) -> bool:
    """Equal PatientID, and issuer and birth date equal where both say them."""
    both = ((one.issuer, other.issuer), (one.birth_date, other.birth_date))
    return one.patient_id == other.patient_id and all(a == b or not a or not b for a, b in both)
