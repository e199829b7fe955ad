"""The phantom's organs as bodies, and how they are painted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.synthetic_ct.phantoms import chest, organs, skeleton, torso
from models.synthetic_ct.phantoms.body_plan import BodyPlan
from models.synthetic_ct.phantoms.devices import NO_DEVICES, Devices
from models.synthetic_ct.phantoms.paint import Canvas
from models.synthetic_ct.phantoms.slab import Field, Group
from models.synthetic_ct.phantoms.solids import Distances, ball
from models.synthetic_ct.tissues.tissue_maps import Tissue

_CHEST = (
    chest.outside,
    chest.breasts,
    chest.muscles,
    chest.lungs,
    chest.mediastinum,
    chest.heart,
    chest.airways,
    chest.great_vessels,
    chest.bones,
    chest.skull,
)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The bodies of one patient, built once, and the order in which they are painted: the later one shows.

    Attributes:
        plan: size, shape and sex.
        couch: whether the patient lies on a couch.
        hu: CT numbers of the tissues.
        shapes: the bodies by name.
        seed: which patient.
        devices: what treatment has put into the patient.
    """

    plan: BodyPlan
    couch: bool
    hu: Mapping[str, float]
    shapes: Mapping[str, list[Group]]
    seed: int
    devices: Devices

    @classmethod
    def of(
        cls, seed: int, plan: BodyPlan, *, couch: bool, contrast: bool, devices: Devices = NO_DEVICES
    ) -> Anatomy:
        """Build every body of the patient ``seed``."""
        rng = np.random.default_rng((seed, 2))
        frames = skeleton.vertebra_frames(plan)
        shapes: dict[str, list[Group]] = {
            "cavities": torso.cavities(plan),
            "muscles": torso.muscles(plan),
            "planes": torso.fat_planes(plan),
            "groin": torso.groin_muscles(plan),
            "bowel": [organs.small_bowel(plan, rng)],
            "colon": [organs.colon(plan, rng)],
            "genital": organs.genital_organs(plan),
            "rectum": [organs.rectum(plan, float(rng.uniform(0.8, 1.35)))],
            "bladder": [[organs.bladder(plan)]],
            "arteries": organs.arteries(plan),
            "veins": organs.veins(plan),
            "sacrum": skeleton.sacrum(plan),
            "openings": skeleton.sacral_openings(plan),
            "canal": [organs.canal(plan, frames)],
            **skeleton.spine(plan, frames),
            **{name: [group] for name, group in organs.upper_abdomen(plan).items()},
        }
        shapes |= {f"chest {part.__name__}": part(plan) for part in _CHEST} | {
            "stomach": [chest.stomach(plan)],
            "glands": chest.breasts(plan, 18),
        }
        for side, name in ((1, "l"), (-1, "r")):
            shapes[f"hip_{name}"] = skeleton.hip_bone(plan, side)
            shapes[f"femur_{name}"] = skeleton.femur(plan, side)
            shapes[f"marrow_{name}"] = skeleton.marrow_cavity(plan, side)
        return cls(plan, couch, _tissue_hu(rng, contrast), shapes, seed, devices)

    def paint(self, canvas: Canvas) -> None:
        """Paint couch, fat, muscles, organs, bones and devices, in this order."""
        self._paint_organs(canvas, self._paint_body(canvas))
        self._paint_bones(canvas)
        self.devices.paint_applicator(canvas, self.plan)
        self.devices.paint_prosthesis(canvas, self.plan, self.seed)

    def _paint_body(self, canvas: Canvas) -> Distances:
        """Returns the distance to the surface of the muscles under the fat."""
        form = torso.Torso(self.plan)
        if self.couch:
            canvas.couch(form.couch_top_y_mm)
        upper = canvas.union(self.shapes["chest outside"], 12)
        breasts = canvas.union(self.shapes["chest breasts"])
        skin = canvas.everywhere(_joined(_joined(form.skin(canvas.points), upper), breasts))
        canvas.fill(skin, 15.0, Tissue.SKIN)
        canvas.fill(skin.but(lambda d: d + np.float32(2)), self.hu["fat"], Tissue.FAT, roughness=7)
        canvas.fill(canvas.union(self.shapes["glands"]), self.hu["fat"] + 55, Tissue.SOFT, roughness=35)
        under_fat = _joined(form.under_fat(canvas.points), upper, 9.0)
        canvas.muscle(canvas.everywhere(under_fat), self.hu["muscle"])
        canvas.fill(canvas.union(self.shapes["planes"]), self.hu["fat"] + 8, Tissue.FAT, roughness=8)
        hollow = canvas.union(self.shapes["cavities"], 10)
        if hollow is not None:
            canvas.fill(
                hollow.within(under_fat + np.float32(11)), self.hu["fat"] - 3, Tissue.FAT, roughness=9
            )
        for name in ("groin", "muscles", "chest muscles"):
            for group in self.shapes[name]:
                muscle = canvas.union([group], 0)
                if muscle is not None:
                    canvas.muscle(muscle.within(under_fat), self.hu["muscle"])
        return under_fat

    def _paint_chest(self, canvas: Canvas, under_fat: Distances) -> None:
        hu, shapes = self.hu, self.shapes
        lungs = canvas.union(shapes["chest lungs"])
        if lungs is not None:
            canvas.fill(lungs.within(under_fat + np.float32(15)), hu["lung"], Tissue.LUNG, roughness=45)
        canvas.fill(canvas.union(shapes["chest mediastinum"], 10), hu["fat"] + 10, Tissue.FAT, roughness=12)
        canvas.fill(canvas.union(shapes["chest heart"]), hu["heart"], Tissue.HEART, roughness=6)
        canvas.fill(canvas.union(shapes["chest great_vessels"]), hu["arteries"], Tissue.ARTERY, roughness=3)
        canvas.fill(canvas.union(shapes["chest airways"]), -970, Tissue.AIR)
        stomach = canvas.union(shapes["stomach"])
        canvas.hollow(stomach, Tissue.STOMACH, hu["wall"], hu["chyme"], wall_mm=4, gas=0.8)

    def _paint_organs(self, canvas: Canvas, under_fat: Distances) -> None:
        hu, wall = self.hu, self.hu["wall"]
        self._paint_chest(canvas, under_fat)
        for name, tissue in (
            ("liver", Tissue.LIVER),
            ("spleen", Tissue.SPLEEN),
            ("kidney_l", Tissue.KIDNEY_L),
            ("kidney_r", Tissue.KIDNEY_R),
        ):
            organ = canvas.union(self.shapes[name])
            if organ is not None:
                canvas.fill(organ.within(under_fat + np.float32(6)), hu[name[:6]], tissue, roughness=5)
        belly = under_fat + np.float32(7)  # the wall of the abdomen holds the bowel in
        for name, tissue, content, gas in (
            ("bowel", Tissue.BOWEL, "chyme", 1.55),
            ("colon", Tissue.COLON, "stool", 0.35),
        ):
            loops = canvas.union(self.shapes[name])
            if loops is not None:
                canvas.hollow(loops.within(belly), tissue, wall, hu[content], wall_mm=2.2, gas=gas)
        for name, tissue in (("veins", Tissue.VEIN), ("arteries", Tissue.ARTERY)):
            canvas.fill(canvas.union(self.shapes[name], 3), hu[name], tissue, roughness=3)
        genital = Tissue.UTERUS if self.plan.female else Tissue.PROSTATE
        canvas.fill(canvas.union(self.shapes["genital"], 6), hu["genital"], genital, roughness=6)
        self.devices.paint_packing(canvas, self.plan)
        canvas.hollow(
            canvas.union(self.shapes["rectum"]),
            Tissue.RECTUM,
            wall,
            hu["stool"],
            wall_mm=3.2,
            gas=hu["rectal gas"],
        )
        bladder = canvas.union(self.shapes["bladder"])
        canvas.fill(bladder, wall, Tissue.BLADDER, roughness=3)
        if bladder is not None:
            canvas.fill(bladder.but(lambda d: d + np.float32(3)), hu["urine"], Tissue.BLADDER, roughness=2)

    def _paint_bones(self, canvas: Canvas) -> None:
        canvas.bone(
            canvas.union(self.shapes["chest bones"], 2), self.hu["marrow"], Tissue.BONE, cortex_mm=1.6
        )
        skull = canvas.union(self.shapes["chest skull"])
        canvas.fill(skull, 900, Tissue.BONE, roughness=60)
        if skull is not None:
            canvas.fill(skull.but(lambda d: d + np.float32(7)), 34, Tissue.SOFT, roughness=4)
        canvas.fill(canvas.union(self.shapes["discs"]), 85, Tissue.DISC, roughness=5)
        spine = canvas.union([*self.shapes["bodies"], *self.shapes["arches"]], 3)
        canvas.bone(spine, self.hu["marrow"], Tissue.VERTEBRA, cortex_mm=1.6)
        sacrum = canvas.without(canvas.union(self.shapes["sacrum"], 4), self.shapes["openings"])
        for side, name in ((1, "l"), (-1, "r")):
            self._paint_hip(canvas, name, side)
        canvas.bone(sacrum, self.hu["marrow"] - 40, Tissue.SACRUM, cortex_mm=1.5)
        canvas.fill(canvas.union(self.shapes["canal"]), 25, Tissue.CANAL, roughness=3)
        for side, name in ((1, "l"), (-1, "r")):
            self._paint_femur(canvas, name, side)

    def _paint_hip(self, canvas: Canvas, name: str, side: int) -> None:
        plan = self.plan
        socket = ball(plan.place(skeleton.HEAD_CENTRE, side), (skeleton.HEAD_RADIUS_MM + 3.2) * plan.size)
        hip = canvas.without(canvas.union(self.shapes[f"hip_{name}"], 9), [[socket]])
        hip = canvas.without(hip, [g for g in self.shapes["sacrum"]], gap_mm=1.6)
        canvas.bone(hip, self.hu["marrow"], Tissue.HIP_L if side > 0 else Tissue.HIP_R, cortex_mm=1.9)

    def _paint_femur(self, canvas: Canvas, name: str, side: int) -> None:
        whole = canvas.union(self.shapes[f"femur_{name}"], 7)
        head, shaft = (
            (Tissue.FEMUR_HEAD_L, Tissue.FEMUR_SHAFT_L)
            if side > 0
            else (Tissue.FEMUR_HEAD_R, Tissue.FEMUR_SHAFT_R)
        )
        canvas.bone(whole, self.hu["marrow"] + 60, shaft, cortex_mm=2.4)
        canvas.fill(canvas.union(self.shapes[f"marrow_{name}"]), -40, shaft, roughness=8)
        cut = skeleton.FEMUR_CUT_Z_MM * self.plan.size
        canvas.rename(shaft, head, canvas.points.z > np.float32(cut))


def _joined(distance: Distances, more: Field | None, deeper_mm: float = 0.0) -> Distances:
    """The union of a field on the whole slab with one in a window, that one shrunk by ``deeper_mm``."""
    if more is None:
        return distance
    out = distance.copy()
    out[more.window] = np.minimum(out[more.window], more.distance + np.float32(deeper_mm))
    return out


def _tissue_hu(rng: np.random.Generator, contrast: bool) -> dict[str, float]:
    """CT numbers of this patient's tissues, HU, and how gassy the rectum is."""
    extra = 1.0 if contrast else 0.0
    draw = rng.uniform
    return {
        "fat": draw(-112, -92),
        "muscle": draw(46, 60) + 8 * extra,
        "wall": draw(28, 44) + 35 * extra,
        "chyme": draw(10, 34),
        "stool": draw(-10, 45),
        "rectal gas": draw(-0.3, 1.6),
        "urine": draw(0, 12),
        "genital": draw(38, 52) + 35 * extra,
        "arteries": draw(38, 46) + draw(110, 200) * extra,
        "veins": draw(36, 44) + draw(70, 120) * extra,
        "liver": draw(50, 62) + 45 * extra,
        "spleen": draw(44, 54) + 55 * extra,
        "heart": draw(36, 44) + 90 * extra,
        "lung": draw(-880, -760),
        "kidney": draw(30, 38) + 110 * extra,
        "marrow": draw(140, 290),
    }
