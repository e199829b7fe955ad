"""Label maps completed to tissue maps: what nobody drew comes from a template fitted to what somebody drew.

What each patient's own labels say stays; the template gives the rest. Its bones win over the patient's bowel
and bladder, for a bladder does not run through a hip; its organs give way where the patient has the same.
The result is a picture of a body to paint CT from. Only the patient's own organs are anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.data_sets.case_file import DataSetInvalid
from models.synthetic_ct.label_maps.label_maps import LabelMap
from models.synthetic_ct.label_maps.label_tissues import VESSELS, OwnTissues, own_tissues
from models.synthetic_ct.label_maps.patient_box import BOX_ZYX, HEADS_IN_BOX_ZYX_MM, UNSEEN, BoxPlace
from models.synthetic_ct.label_maps.template_fit import fit
from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.phantom import PelvicPhantom, pelvic_phantom
from models.synthetic_ct.tissues.deformation import MAP_SPACING_MM
from models.synthetic_ct.tissues.tissue_maps import Tissue, TissueMap
from models.volume import Grid

LEAST_BONES_DSC: Final = 0.4
"""Where the template's bones lie on less than this of the patient's, it was not fitted."""

PHANTOM: Final = "phantom"
_LEAST_CANAL = 0.95  # of the levels: a canal with gaps would be taught as ending where it does not
_ROUND_ORGANS_MM = 14.0  # so much tissue at least lies round every organ
_BODY_SMOOTH_MM = 8.0
_FEMUR = ((Tissue.FEMUR_HEAD_L, Tissue.FEMUR_SHAFT_L), (Tissue.FEMUR_HEAD_R, Tissue.FEMUR_SHAFT_R))
_BONES = (
    *(bone for pair in _FEMUR for bone in pair), Tissue.HIP_L, Tissue.HIP_R, Tissue.SACRUM, Tissue.VERTEBRA,
    Tissue.BONE,
)  # fmt: skip
_GENITAL = (Tissue.UTERUS, Tissue.OVARY, Tissue.PROSTATE)
_KEEPS_MUSCLE_OUT = (Tissue.BLADDER, Tissue.RECTUM, Tissue.BOWEL, Tissue.COLON, *_GENITAL)
_SOFT_PLACES = (Tissue.AIR, Tissue.SKIN, Tissue.FAT, Tissue.MUSCLE, Tissue.SOFT)


@dataclass(frozen=True, slots=True)
class Completed:
    """A label map that was completed.

    Attributes:
        map: the tissue map, named ``<label map>__<template>``.
        bones_dsc: how well the template's bones lie on the patient's own.
        unused: names of labels that are no tissue and were left out.
    """

    map: TissueMap
    bones_dsc: float
    unused: tuple[str, ...]


def complete(label_map: LabelMap, template: TissueMap | None = None, device: str = "cpu") -> Completed:
    """Complete a label map.

    Args:
        label_map: with both femora or femoral heads, to know where the pelvis is.
        template: a complete tissue map; None for the project's phantom of the patient's sex.
        device: where the template is fitted.

    Raises:
        DataSetInvalid: ``labels.no-bones``, ``labels.no-fit``.
    """
    own = own_tissues(label_map)
    if own.heads_zyx_mm is None:
        raise DataSetInvalid(
            "labels.no-bones",
            f"Label map {label_map.name} has no femoral heads on both sides, so a template cannot be "
            "fitted to it. Leave it out, or have the femoral heads drawn.",
        )
    place = BoxPlace.of(
        own.codes.shape,
        label_map.spacing_zyx_mm,
        label_map.origin_zyx_mm,
        own.heads_zyx_mm,
    )
    mine = place.of_codes(own.codes)
    seen = mine != UNSEEN
    body = None
    if own.body is not None:
        body = place.of_codes(own.body.astype(np.uint8)) == 1
    used = template or standard_phantom(female=own.has(Tissue.UTERUS) or not own.has(Tissue.PROSTATE))
    codes = _as_drawn(used.codes, mine, seen)
    found = fit(codes, mine, seen, None if body is None else (codes > 0, body), device)
    if found.bones_dsc < LEAST_BONES_DSC:
        raise DataSetInvalid(
            "labels.no-fit",
            f"The template does not fit label map {label_map.name}: its bones agree by DSC "
            f"{found.bones_dsc:.2f}. Are left and right, head and feet of it as its file says?",
        )
    joined = _joined(found.warped(codes), mine, seen, own)
    finished = _with_skin(joined, _body(joined, mine, seen, body))
    name = f"{label_map.name}__{used.source.replace('__', '-')}"
    return Completed(TissueMap(name, finished), found.bones_dsc, own.unused)


@cache
def standard_phantom(*, female: bool) -> TissueMap:
    """The project's own phantom, of middle size and shape, as a tissue map."""
    plan = BodyPlan(
        female=female,
        scale=np.ones(3),
        tilt_rad=0.0,
        waves=np.zeros((1, 3)),
        phases=np.zeros((1, 3)),
        amplitudes_mm=np.zeros((1, 3)),
        fat_mm=(20.0, 17.0, 24.0),
        bladder_fill=0.5,
    )
    patient: PelvicPhantom = replace(
        pelvic_phantom(0, couch=False), plan=plan, origin_lps_mm=np.array(HEADS_IN_BOX_ZYX_MM[::-1])
    )
    slices, rows, columns = BOX_ZYX
    origins = np.outer(np.arange(slices) * MAP_SPACING_MM, (0.0, 0.0, 1.0))
    steps = np.eye(3) * MAP_SPACING_MM
    return TissueMap(PHANTOM, patient.sample(Grid(origins, steps[0], steps[1], rows, columns)).tissue)


def _as_drawn(
    template: NDArray[np.uint8], mine: NDArray[np.uint8], seen: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The template with its femoral heads as long as the patient's, if the scan shows all of those."""
    out = template.copy()
    for head, shaft in _FEMUR:
        of_template, of_mine = (np.flatnonzero((codes == head).any((1, 2))) for codes in (template, mine))
        ends = not seen[max(0, of_mine[0] - 1)].any() if len(of_mine) else True
        if ends or not len(of_template):
            continue
        lowest = max(0, int(of_template[-1]) - int(of_mine[-1] - of_mine[0]))
        femur = np.isin(template, (head, shaft))
        out[:lowest][femur[:lowest]] = shaft
        out[lowest:][femur[lowest:]] = head
    return out


def _joined(
    warped: NDArray[np.uint8], mine: NDArray[np.uint8], seen: NDArray[np.bool_], own: OwnTissues
) -> NDArray[np.uint8]:
    """The template with the patient's own tissues in the place of its own."""
    out = warped.copy()
    for tissue in own.whole:  # of what was drawn, the template's gives way wherever it would have been drawn
        out[(warped == tissue) & seen] = Tissue.MUSCLE if tissue in _BONES else Tissue.FAT
    vessels_drawn = np.logical_or(*(mine == one for one in VESSELS)).any((1, 2), keepdims=True)
    out[np.isin(warped, VESSELS) & seen & vessels_drawn] = Tissue.FAT
    if not own.has(Tissue.UTERUS) and not own.has(Tissue.PROSTATE):
        out[np.isin(warped, _GENITAL)] = Tissue.SOFT  # nobody knows which
    is_mine = (mine > 0) & seen
    bone_of_mine = is_mine & np.isin(mine, _BONES)
    soft = is_mine & ~bone_of_mine & ~np.isin(out, _BONES)
    soft &= ~((mine == Tissue.MUSCLE) & np.isin(out, _KEEPS_MUSCLE_OUT))
    out[soft] = mine[soft]
    out[bone_of_mine] = mine[bone_of_mine]
    for head, shaft in _FEMUR:
        heights = np.flatnonzero((mine == head).any((1, 2)))
        if len(heights):  # what the template calls shaft beside a head that was drawn
            above = out[int(heights[0]) :]
            above[(above == shaft) & (mine[int(heights[0]) :] != shaft)] = Tissue.MUSCLE
    expected, kept = ((codes == Tissue.CANAL).sum((1, 2)) for codes in (warped, out))
    whole = (kept >= 0.5 * expected) & (expected > 0)
    if whole.sum() < _LEAST_CANAL * (expected > 0).sum():  # the drawn vertebrae lie elsewhere
        out[out == Tissue.CANAL] = Tissue.SOFT
    return out


def _body(
    joined: NDArray[np.uint8],
    mine: NDArray[np.uint8],
    seen: NDArray[np.bool_],
    drawn: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """Inside of the body: as it was drawn, else the template's and what lies round the patient's organs."""
    template = joined > 0
    if drawn is not None:
        return np.where(seen, drawn, template)
    organs = seen & (mine > 0)
    wanted = template | (_away_mm(organs) < _ROUND_ORGANS_MM)
    smooth = _blurred(wanted, _BODY_SMOOTH_MM) > 0.5  # no spur where one organ lies beside the template
    return smooth | (_away_mm(organs) < 2 * MAP_SPACING_MM)


def _with_skin(codes: NDArray[np.uint8], body: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """One body without holes, fat where nothing is known, air around, and 2 mm of skin."""
    whole = _filled(_largest(body))
    out = np.where(whole, codes, Tissue.AIR).astype(np.uint8)
    out[whole & (out == Tissue.AIR)] = Tissue.FAT
    inner = np.zeros_like(whole)
    inner[:, 1:-1, 1:-1] = (
        whole[:, 1:-1, 1:-1]
        & whole[:, :-2, 1:-1]
        & whole[:, 2:, 1:-1]
        & whole[:, 1:-1, :-2]
        & whole[:, 1:-1, 2:]
    )
    out[inner & (out == Tissue.SKIN)] = Tissue.FAT
    out[whole & ~inner & np.isin(out, _SOFT_PLACES)] = Tissue.SKIN
    return out


def _image(mask: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - SimpleITK has no types
    import SimpleITK

    image: Any = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing((MAP_SPACING_MM,) * 3)
    return image


def _away_mm(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    import SimpleITK

    sitk: Any = SimpleITK
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    distance = sitk.SignedMaurerDistanceMap(_image(mask), False, False, True)
    away: NDArray[np.float32] = sitk.GetArrayFromImage(distance)
    return away


def _blurred(mask: NDArray[np.bool_], sigma_mm: float) -> NDArray[np.float32]:
    import SimpleITK

    sitk: Any = SimpleITK
    soft = sitk.SmoothingRecursiveGaussian(sitk.Cast(_image(mask), sitk.sitkFloat32), sigma_mm)
    share: NDArray[np.float32] = sitk.GetArrayFromImage(soft)
    return share


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    import SimpleITK

    sitk: Any = SimpleITK
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(_image(mask)), sortByObjectSize=True)
    return np.asarray(sitk.GetArrayFromImage(parts) == 1)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without holes in any slice."""
    import SimpleITK

    sitk: Any = SimpleITK
    slices = [sitk.GetArrayFromImage(sitk.BinaryFillhole(_image(one))) > 0 for one in mask]
    return np.stack(slices)
