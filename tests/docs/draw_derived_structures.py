"""Draw the picture of ``docs/derived-structures.md``: ``python tests/docs/draw_derived_structures.py [FILE]``.

A phantom's own organs, the structures that are made of them, and the contours that would be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import yaml
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from models.synthetic_ct.phantoms.phantom import pelvic_phantom
from models.synthetic_ct.tissues.tissue_maps import Tissue
from models.volume import Provenance, Segmentation, StructureField
from service.config.derivation import DerivedStructure
from service.contouring.contours import contours_of
from service.contouring.derivation.distance import Lattice
from service.contouring.derivation.evaluation import with_derived
from service.contouring.derivation.operations import smoothed

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "derived-structures.md"
PICTURE = REPOSITORY / "docs" / "pictures" / "derived-structures.png"
SEED = 7
COLORS = {
    "A_Iliac_L": "#ff5040", "A_Iliac_R": "#ff5040", "V_Iliac_L": "#5070ff", "V_Iliac_R": "#5070ff",
    "Bladder": "#ffd700", "Bowel_Small": "#ff8cbe", "Colon": "#cd853f", "SpinalCanal": "#40e0d0",
    "Bone_Pelvic_L": "#c0c0d8", "Bone_Pelvic_R": "#c0c0d8", "Sacrum": "#c0c0d8", "Muscles": "#a06060",
    "zVessels_07": "#60ff60", "Bag_Bowel": "#ffb6c1", "SpinalCanal_PRV5": "#40e0d0", "zRing_Bladder": "#ffff80",
}  # fmt: skip


def examples() -> dict[str, DerivedStructure]:
    """The derived structures of the page's example, as they stand there."""
    text = PAGE.read_text()
    block = text.split("```yaml\n")[1].split("```")[0]
    derived = yaml.safe_load(block)["protocols"]["pelvis"]["derived"]
    return {name: DerivedStructure.model_validate(one) for name, one in derived.items()}


def phantom() -> tuple[np.ndarray, Segmentation, object]:
    """CT numbers of a phantom, and its organs as fields: masks smoothed by a pixel, as no model's answer is stepped."""
    patient = pelvic_phantom(SEED)
    grid = patient.grid(pixel_mm=1.5, slice_mm=3.0)
    sample = patient.sample(grid)
    needed = {name for one in examples().values() for name in one.needs}
    masks = {name: sample.mask(name) for name in sorted(needed - {"Muscles"} - set(examples()))}
    masks["Muscles"] = sample.tissue == Tissue.MUSCLE
    lattice = Lattice.of(grid)
    fields = {name: smoothed(StructureField.of_mask(mask), 1.5, lattice) for name, mask in masks.items()}
    known = {name: field for name, field in fields.items() if field is not None}
    return sample.hu, Segmentation(known, Provenance("phantom", "1.0", "00" * 32, validated=False)), grid


def draw(file: Path) -> None:
    """An axial slice through the vessels and a coronal one through bladder and bowel."""
    hu, segmentation, grid = phantom()
    made = with_derived(segmentation, examples(), grid)
    for finding in made.findings:
        print(finding.sentence)
    contours = contours_of(made, grid, keep_holes=list(examples()))
    vessels, canal = made.structures["zVessels_07"], made.structures["SpinalCanal_PRV5"]
    levels = (
        vessels.corner_zyx[0] + vessels.field.shape[0] * 2 // 5,
        (canal.corner_zyx[0] + vessels.slices_zyx[0].stop) // 2,
    )
    figure = Figure(figsize=(14, 3.9), dpi=100, layout="constrained")
    low, high, coronal = figure.subplots(1, 3, width_ratios=(1.3, 1.3, 1))
    shown = [
        name
        for name in COLORS
        if name in made.structures and not name.startswith(("Muscles", "Bone", "Sacrum"))
    ]
    for axes, k in zip((low, high), levels, strict=True):
        axes.imshow(hu[k], cmap="gray", vmin=-150, vmax=300)
        for name in shown:
            wide = 2.2 if name in examples() else 0.9
            for contour in contours.structures.get(name, ()):
                if contour.slice_index == k:
                    ring = np.vstack([contour.pixels, contour.pixels[:1]])
                    axes.plot(ring[:, 0], ring[:, 1], color=to_rgb(COLORS[name]), linewidth=wide)
    bladder = made.structures["Bladder"]
    row = bladder.corner_zyx[1] + bladder.field.shape[1] // 2
    coronal.imshow(hu[:, row], cmap="gray", vmin=-150, vmax=300, origin="lower", aspect=3.0 / 1.5)
    for name in shown:
        mask = made.structures[name].mask(grid.shape_zyx)[:, row].astype(float)
        if mask.any() and not mask.all():
            wide = 2.2 if name in examples() else 0.9
            coronal.contour(mask, [0.5], colors=[COLORS[name]], linewidths=wide)
    figure.suptitle("organs thin, derived structures thick", fontsize=9)
    for axes in (low, high, coronal):
        axes.set_axis_off()
    handles = [Line2D([], [], color=COLORS[name], linewidth=2.2, label=name) for name in examples()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, facecolor="#404040",
                  labelcolor="white")  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
