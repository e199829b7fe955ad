"""What the labels of a label map are made of: names to tissues, femora to head and shaft, colon to rectum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.synthetic_ct.label_maps.label_maps import LabelMap
from models.synthetic_ct.tissues.tissue_maps import Tissue
from models.volume import FloatArray

HEAD_LENGTH_MM: Final = 80.0
"""A femur that was drawn whole counts as head so far below its top, as in the phantom."""

_HEAD_MIDDLE_MM: Final = 25.0  # of the head itself below its top
_RECTUM_BEGINS: Final = 0.45  # of the sacrum's height above its tip: the third sacral vertebra

_LEFT_AND_RIGHT: Final = {
    "femur_head": (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_HEAD_R),
    "femur": (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_HEAD_R),
    "bone_pelvic": (Tissue.HIP_L, Tissue.HIP_R),
    "kidney": (Tissue.KIDNEY_L, Tissue.KIDNEY_R),
    "ovary": (Tissue.OVARY, Tissue.OVARY),
    "lung": (Tissue.LUNG, Tissue.LUNG),
    "a_iliac": (Tissue.ARTERY, Tissue.ARTERY),
    "v_iliac": (Tissue.VEIN, Tissue.VEIN),
    "glnd_adrenal": (Tissue.SOFT, Tissue.SOFT),
}
TISSUE_OF: Final[dict[str, Tissue]] = {
    "bladder": Tissue.BLADDER,
    "rectum": Tissue.RECTUM,
    "bowel_small": Tissue.BOWEL,
    "duodenum": Tissue.BOWEL,
    "colon": Tissue.COLON,
    "colon_sigmoid": Tissue.COLON,
    "sacrum": Tissue.SACRUM,
    "spine": Tissue.VERTEBRA,
    "vertebralcolumn": Tissue.VERTEBRA,
    "spinalcord": Tissue.CANAL,
    "spinalcanal": Tissue.CANAL,
    "a_aorta": Tissue.ARTERY,
    "v_venacava_i": Tissue.VEIN,
    "vessels": Tissue.ARTERY,  # not told apart: arteries and veins look alike without contrast medium
    "vessels_iliac": Tissue.ARTERY,
    "uterus": Tissue.UTERUS,
    "prostate": Tissue.PROSTATE,
    "seminalves": Tissue.PROSTATE,
    "liver": Tissue.LIVER,
    "spleen": Tissue.SPLEEN,
    "stomach": Tissue.STOMACH,
    "pancreas": Tissue.PANCREAS,
    "gallbladder": Tissue.GALLBLADDER,
    "heart": Tissue.HEART,
    "lungs": Tissue.LUNG,
    "esophagus": Tissue.SOFT,
    "glnd_adrenal": Tissue.SOFT,
    "penilebulb": Tissue.SOFT,
    "prostatebed": Tissue.SOFT,
    "ln": Tissue.SOFT,
    "muscle": Tissue.MUSCLE,
    "muscle_gluteus_iliopsoas_autochthon": Tissue.MUSCLE,
    **{f"{stem}_l": left for stem, (left, _) in _LEFT_AND_RIGHT.items()},
    **{f"{stem}_r": right for stem, (_, right) in _LEFT_AND_RIGHT.items()},
}
"""By TG-263 or usual name in lower case. Targets, margins and unions are no tissues and are left out."""

VESSELS: Final = (Tissue.ARTERY, Tissue.VEIN)

_IN_PART: Final = {  # there is more of their tissue than they tell
    "spinalcord",
    "muscle_gluteus_iliopsoas_autochthon",
    "esophagus",
    "glnd_adrenal",
    "ln",
    "penilebulb",
    "prostatebed",
}


@dataclass(frozen=True, slots=True, repr=False)
class OwnTissues:
    """What a label map tells of its patient.

    Attributes:
        codes: ``(z, y, x)`` tissue codes, AIR where nothing was drawn.
        body: True inside the external contour, None if nobody drew it.
        whole: tissues of which all was drawn; of others there may be more.
        heads_zyx_mm: ``(3,)`` midpoint of the femoral heads, LPS; None without both.
        unused: names of labels that are no tissue.
    """

    codes: NDArray[np.uint8]
    body: NDArray[np.bool_] | None
    whole: frozenset[Tissue]
    heads_zyx_mm: FloatArray | None
    unused: tuple[str, ...]

    def has(self, *tissues: Tissue) -> bool:
        """Whether a voxel of every one of the tissues was drawn."""
        return all(bool((self.codes == tissue).any()) for tissue in tissues)


def own_tissues(label_map: LabelMap) -> OwnTissues:
    """The tissues of a label map; each label lies where it was drawn."""
    table = np.zeros(256, np.uint8)
    in_part = set(VESSELS)  # iliac vessels alone, or both kinds under one name
    unused = []
    for number, name in label_map.names.items():
        tissue = TISSUE_OF.get(name.casefold())
        if tissue is not None:
            table[number] = tissue
            if name.casefold() in _IN_PART:
                in_part.add(tissue)
        elif name.casefold() != "external":
            unused.append(name)
    codes = table[label_map.labels]
    tops = {code: _top(codes == code) for code in (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_HEAD_R)}
    heads = _heads_zyx_mm(codes, label_map, tops)
    _cut_femora(codes, label_map, tops)
    if heads is not None:
        _find_rectum(codes, label_map, heads)
    body = label_map.labels > 0 if label_map.where("External").any() else None
    shown = {Tissue(int(code)) for code in np.unique(codes)} - {Tissue.AIR}
    return OwnTissues(codes, body, frozenset(shown - in_part), heads, tuple(unused))


def _top(mask: NDArray[np.bool_]) -> int | None:
    found = np.flatnonzero(mask.any((1, 2)))
    return int(found[-1]) if len(found) else None


def _heads_zyx_mm(
    codes: NDArray[np.uint8], label_map: LabelMap, tops: dict[Tissue, int | None]
) -> FloatArray | None:
    """Mean of the middles of both heads: of what lies within twice the middle's depth below the top."""
    thickness = round(2 * _HEAD_MIDDLE_MM / label_map.spacing_zyx_mm[0])
    middles = []
    for tissue, top in tops.items():
        if top is None:
            return None
        first = max(0, top - thickness)
        at = np.argwhere(codes[first : top + 1] == tissue).mean(0)
        at[0] += first
        middles.append(at * label_map.spacing_zyx_mm + label_map.origin_zyx_mm)
    return np.mean(middles, axis=0)  # type: ignore[no-any-return]


def _cut_femora(codes: NDArray[np.uint8], label_map: LabelMap, tops: dict[Tissue, int | None]) -> None:
    """A femur drawn whole is head above and shaft below; one drawn as a head stays as it is."""
    for side, head, shaft in (
        ("L", Tissue.FEMUR_HEAD_L, Tissue.FEMUR_SHAFT_L),
        ("R", Tissue.FEMUR_HEAD_R, Tissue.FEMUR_SHAFT_R),
    ):
        top = tops[head]
        if top is None or not label_map.where(f"Femur_{side}").any():
            continue
        lowest = max(0, top - round(HEAD_LENGTH_MM / label_map.spacing_zyx_mm[0]))
        below = codes[:lowest]
        below[below == head] = shaft


def _find_rectum(codes: NDArray[np.uint8], label_map: LabelMap, heads_zyx_mm: FloatArray) -> None:
    """Where the colon was drawn to the anus, what lies below the third sacral vertebra behind is rectum."""
    sacrum = np.flatnonzero((codes == Tissue.SACRUM).any((1, 2)))
    if (codes == Tissue.RECTUM).any() or not len(sacrum):
        return
    begins = sacrum[0] + _RECTUM_BEGINS * (sacrum[-1] - sacrum[0])
    behind = (heads_zyx_mm[1] + 5.0 - label_map.origin_zyx_mm[1]) / label_map.spacing_zyx_mm[1]
    z = np.arange(codes.shape[0])[:, None, None]
    y = np.arange(codes.shape[1])[None, :, None]
    codes[(codes == Tissue.COLON) & (z < begins) & (y > behind)] = Tissue.RECTUM
