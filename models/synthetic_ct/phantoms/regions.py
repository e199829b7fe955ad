"""Structures of the phantom that are no tissue but are drawn over several: target volumes, vessels by side.

Each is made of bodies in patient millimetres, like all else in the phantom, and of the tissues it may lie on.
The clinical target volumes of cervical cancer follow the published atlases in outline: nodal volumes are the
iliac vessels with 7 mm around them, the obturator strip and the presacral space, without bone, muscle, bowel
and bladder (Taylor et al., Clin Oncol 2007; Small et al., IJROBP 2008 and 2021); the primary volume is
uterus, cervix, parametria and the upper vagina (Lim et al., IJROBP 2011). They are shapes to train and to
test on, not a guideline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.synthetic_ct.phantoms import organs
from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.slab import Group, Slab, union
from models.synthetic_ct.phantoms.solids import Capsule, Solid, ellipsoid, sheet
from models.synthetic_ct.tissues.tissue_maps import Tissue

NODAL_MARGIN_MM = 7.0
_BAG_MARGIN_MM = 9.0
_JOINT_MM = 2.0  # where vessels join they are painted rounder than their bars
_L4_L5_Z_MM = 159.0
_HEAD_TOP_Z_MM = 24.0  # the inguinal ligament: external iliac vessels above, femoral ones below
_TARGET = (Tissue.FAT, Tissue.ARTERY, Tissue.VEIN, Tissue.UTERUS, Tissue.OVARY)
_BAG = (Tissue.FAT, Tissue.BOWEL, Tissue.COLON, Tissue.ARTERY, Tissue.VEIN)

CTV_STRUCTURES = ("CTV", "CTVp", "CTVn")


@dataclass(frozen=True, slots=True)
class RegionPart:
    """One connected piece of a region.

    Attributes:
        groups: bodies, joined without blending.
        tissues: what it may lie on.
        low_mm: lowest point ``(3,)`` x, y, z of it in the frame of the bodies.
        high_mm: highest point of it.
    """

    groups: Sequence[Group]
    tissues: tuple[Tissue, ...]
    low_mm: tuple[float, float, float] = (-np.inf, -np.inf, -np.inf)
    high_mm: tuple[float, float, float] = (np.inf, np.inf, np.inf)

    def mark(self, slab: Slab, tissue: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
        """Set ``mask`` where the part is on the slab; all arrays ``(n, rows, columns)``."""
        field = union(self.groups, slab)
        if field is None:
            return
        inside = (field.distance < 0) & np.isin(tissue[field.window], self.tissues)
        points = slab.points[field.window]
        for axis, low, high in zip((points.x, points.y, points.z), self.low_mm, self.high_mm, strict=True):
            inside &= (axis >= np.float32(low)) & (axis < np.float32(high))
        mask[field.window] |= inside


def regions(plan: BodyPlan, shapes: Mapping[str, list[Group]]) -> dict[str, list[RegionPart]]:
    """Every region of a body by TG-263 name; ``shapes`` are its bodies as `Anatomy` has them.

    A male body has no CTV: the target volumes are those of cervical cancer.
    """
    sac = [Capsule(c.start, c.end, 6.0 * plan.size, 6.0 * plan.size) for c in _capsules(shapes["canal"])]
    loops = _grown([*shapes["bowel"], *shapes["colon"]], _BAG_MARGIN_MM)
    found = {
        "Bag_Bowel": [RegionPart(loops, _BAG)],
        "SpinalCord": [RegionPart([sac], (Tissue.CANAL,))],
        **_iliac_vessels(plan, shapes),
    }
    if plan.female:
        primary, nodal = _primary(plan), _nodal(plan, shapes)
        found |= {"CTVp": primary, "CTVn": nodal, "CTV": [*primary, *nodal]}
    return found


def _iliac_vessels(plan: BodyPlan, shapes: Mapping[str, list[Group]]) -> dict[str, list[RegionPart]]:
    """Common, internal and external iliac arteries and veins from where they part to the groin."""
    low = float(plan.place((66, -58, _HEAD_TOP_Z_MM))[2])
    found = {}
    for name, kind, tissue, top in (
        ("A_Iliac", "arteries", Tissue.ARTERY, organs.AORTIC_BIFURCATION),
        ("V_Iliac", "veins", Tissue.VEIN, organs.CAVAL_CONFLUENCE),
    ):
        x, _, high = (float(v) for v in plan.place(top))
        right, left = (_grown(shapes[kind][i : i + 2], _JOINT_MM) for i in (1, 3))
        found[f"{name}_L"] = [RegionPart(left, (tissue,), (x, -np.inf, low), (np.inf, np.inf, high))]
        found[f"{name}_R"] = [RegionPart(right, (tissue,), (-np.inf, -np.inf, low), (x, np.inf, high))]
    return found


def _primary(plan: BodyPlan) -> list[RegionPart]:
    """CTVp: uterus and cervix, the upper 20 mm of the vagina, parametria to the wall of the pelvis."""
    k = plan.size
    uterus, vagina, *_ = organs.genital_organs(plan)
    cervix: Group = [ellipsoid(plan.place((-1, 21, -6)), np.array([18.0, 17.0, 16.0]) * k)]
    low = float(plan.place((0, 16, -26))[2])
    groups: list[Group] = [uterus, cervix]
    for side in (-1, 1):
        rows = [
            [(6, 16, 24), (26, 19, 26), (46, 22, 28)],
            [(6, 20, 4), (28, 21, 6), (50, 22, 8)],
            [(6, 20, -12), (24, 20, -12), (42, 20, -10)],
        ]
        groups.append(sheet(plan.place(rows, side), np.array([[12, 11, 9], [13, 11, 9], [10, 9, 8]]) * k, 2))
    return [RegionPart(groups, _TARGET), RegionPart([vagina], _TARGET, (-np.inf, -np.inf, low))]


def _nodal(plan: BodyPlan, shapes: Mapping[str, list[Group]]) -> list[RegionPart]:
    """CTVn: common, external and internal iliac, obturator and presacral nodes of both sides."""
    k = plan.size
    top = float(plan.place((0, 6, _L4_L5_Z_MM))[2])
    low = float(plan.place((66, -50, _HEAD_TOP_Z_MM))[2])
    outer = [shapes[kind][i] for kind in ("arteries", "veins") for i in (1, 3)]
    inner = [shapes[kind][i] for kind in ("arteries", "veins") for i in (2, 4)]
    strips: list[Group] = []
    for side in (-1, 1):
        rows = [
            [(58, -26, 46), (50, 0, 48), (44, 30, 50)],
            [(54, -26, 28), (48, 0, 28), (44, 28, 28)],
            [(48, -20, 10), (46, 0, 8), (45, 22, 10)],
        ]
        strips.append(sheet(plan.place(rows, side), 9.0 * k, 2))
    presacral = sheet(
        plan.place(
            [
                [(-32, 27, 102), (0, 17, 106), (32, 27, 102)],
                [(-30, 43, 76), (0, 39, 77), (30, 43, 76)],
                [(-24, 56, 60), (0, 54, 60), (24, 56, 60)],
            ]
        ),
        6.0 * k,
        2,
    )
    return [
        RegionPart(_grown(outer, NODAL_MARGIN_MM), _TARGET, (-np.inf, -np.inf, low), (np.inf, np.inf, top)),
        RegionPart([*_grown(inner, NODAL_MARGIN_MM), *strips, presacral], _TARGET),
    ]


def _capsules(groups: Sequence[Group]) -> list[Capsule]:
    return [body for group in groups for body in group if isinstance(body, Capsule)]


def _grown(groups: Sequence[Group], by_mm: float) -> list[Group]:
    """The same bars, thicker all round."""
    grown: list[Group] = []
    for group in groups:
        bars: list[Solid] = [
            Capsule(c.start, c.end, c.radius_start_mm + by_mm, c.radius_end_mm + by_mm)
            for c in _capsules([group])
        ]
        grown.append(bars)
    return grown
