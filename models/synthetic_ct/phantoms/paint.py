"""Painting bodies as CT numbers: soft edges one voxel wide, texture and noise that belong to the patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.synthetic_ct.phantoms.slab import Field, Group, Slab, Window, union
from models.synthetic_ct.phantoms.solids import Distances, Points
from models.synthetic_ct.tissues.tissue_maps import Tissue

_COUCH_HALF_WIDTH_MM = 250.0
_COUCH_THICKNESS_MM = 48.0


class Texture:
    """Smooth random patterns of unit variance, functions of the position alone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def at(self, p: Points, scale_mm: float, kind: int, waves: int = 8) -> Distances:
        """The pattern number ``kind`` at points, with features about ``scale_mm`` across."""
        rng = np.random.default_rng((self.seed, 3, kind))
        directions = rng.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        numbers = directions * (np.pi / scale_mm) * rng.uniform(0.6, 1.4, (waves, 1))
        out = np.zeros_like(p.x)
        for (kx, ky, kz), phase in zip(
            numbers.astype(np.float32), rng.uniform(0, 2 * np.pi, waves), strict=True
        ):
            out += np.cos(p.x * kx + p.y * ky + p.z * kz + np.float32(phase))
        return out * np.float32(np.sqrt(2 / waves))

    def noise(self, p: Points) -> Distances:
        """White noise of unit variance: neighbouring tenths of a millimetre are independent."""
        with np.errstate(over="ignore"):
            h = np.full(p.x.shape, self.seed * 2654435761 % 2**32, np.uint32)
            for axis, factor in ((p.x, 0x9E3779B1), (p.y, 0x85EBCA77), (p.z, 0xC2B2AE3D)):
                cell = np.rint(axis * np.float32(8) + np.float32(0.137)).astype(np.int32).view(np.uint32)
                h = (h ^ (cell * np.uint32(factor))) * np.uint32(0x27D4EB2F)
                h ^= h >> np.uint32(15)
        total = sum(((h >> np.uint32(s)) & np.uint32(255)).astype(np.float32) for s in (0, 8, 16, 24))
        return (total - np.float32(510)) / np.float32(np.sqrt(4 * (256**2 - 1) / 12))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Canvas:
    """CT numbers and tissues of one slab while it is being painted.

    Attributes:
        slab: where.
        hu: float32, Hounsfield units.
        tissue: uint8 codes.
        texture: the patient's patterns.
        edge_mm: width of the soft edge, one voxel.
    """

    slab: Slab
    hu: Distances
    tissue: NDArray[np.uint8]
    texture: Texture
    edge_mm: float

    @classmethod
    def blank(cls, slab: Slab, texture: Texture) -> Canvas:
        """Air."""
        shape = slab.points.x.shape
        g = slab.grid
        edge = float(np.clip((g.column_spacing_mm + g.row_spacing_mm) / 2, 0.5, 4.0))
        return cls(slab, np.full(shape, -1000, np.float32), np.zeros(shape, np.uint8), texture, edge)

    @property
    def points(self) -> Points:
        """Positions of the voxels in the frame of the bodies."""
        return self.slab.points

    def everywhere(self, distance: Distances) -> Field:
        """A field on the whole slab."""
        whole: Window = tuple(slice(0, n) for n in distance.shape)  # type: ignore[assignment]
        return Field(whole, distance)

    def union(self, groups: Iterable[Group], blend_mm: float = 0.0) -> Field | None:
        """Distance to a union of groups of bodies."""
        return union(groups, self.slab, blend_mm)

    def without(self, field: Field | None, groups: Iterable[Group], gap_mm: float = 0.0) -> Field | None:
        """The part of a field that is farther than ``gap_mm`` from some bodies."""
        if field is None:
            return None
        out = field.distance.copy()
        for group in groups:
            for body in group:
                w = self.slab.window(body.lo - gap_mm - 2, body.hi + gap_mm + 2)
                both = None if w is None else _overlap(w, field.window)
                if both is not None:
                    inner = tuple(
                        slice(s.start - o.start, s.stop - o.start)
                        for s, o in zip(both, field.window, strict=True)
                    )
                    out[inner] = np.maximum(out[inner], np.float32(gap_mm) - body.distance(self.points[both]))
        return Field(field.window, out)

    def fill(
        self, field: Field | None, hu: float | Distances, tissue: Tissue, roughness: float = 0.0
    ) -> None:
        """Paint the inside of a field, its edge one voxel soft."""
        if field is None:
            return
        w = field.window
        value: float | Distances = hu
        if roughness:
            value = hu + self.texture.at(self.points[w], 5.0, int(tissue), 6) * np.float32(roughness)
        self.cover(field, value)
        self.tissue[w][field.distance < 0] = tissue

    def cover(self, field: Field | None, hu: float | Distances) -> None:
        """Paint the inside of a field over the tissues, which are still there: what a device does."""
        if field is None:
            return
        w = field.window
        share = np.clip(np.float32(0.5) - field.distance / np.float32(self.edge_mm), 0, 1)
        self.hu[w] += share * (hu - self.hu[w])

    def muscle(self, field: Field, hu: float) -> None:
        """Muscle with streaks of fat between its bundles."""
        p = self.points[field.window]
        along = Points(p.x, p.y, p.z * np.float32(0.25))
        septum = np.abs(self.texture.at(along, 30.0, 101, 6))
        streak = np.clip(1 - septum / np.float32(0.10), 0, 1) * np.float32(90)
        grain = self.texture.at(along, 4.0, 102, 6) * np.float32(6)
        value: Distances = (grain - streak + np.float32(hu)).astype(np.float32, copy=False)
        self.fill(field, value, Tissue.MUSCLE)

    def hollow(
        self,
        field: Field | None,
        tissue: Tissue,
        wall_hu: float,
        content_hu: float,
        *,
        wall_mm: float,
        gas: float,
    ) -> None:
        """An organ with a wall and content; gas collects in front where a pattern exceeds ``gas``."""
        if field is None:
            return
        self.fill(field, wall_hu, tissue, roughness=4)
        p = self.points[field.window]
        content = content_hu + self.texture.at(p, 7.0, 110 + tissue, 8) * np.float32(9)
        bubbles = self.texture.at(p, 24.0, 130 + tissue, 6) - p.y * np.float32(0.004)
        mixed = np.clip((bubbles - np.float32(gas)) * np.float32(10), 0, 1)
        content = content + mixed * (np.float32(-960) - content)
        self.fill(field.but(lambda d: d + np.float32(wall_mm)), content, tissue)

    def bone(self, field: Field | None, marrow_hu: float, tissue: Tissue, *, cortex_mm: float) -> None:
        """Spongy bone under a dense cortex."""
        if field is None:
            return
        p = self.points[field.window]
        spongy = (
            marrow_hu
            + self.texture.at(p, 4.0, 150 + tissue, 6) * np.float32(28)
            + self.texture.at(p, 25.0, 151 + tissue, 4) * np.float32(30)
        )
        dense = np.clip((field.distance + np.float32(cortex_mm)) / np.float32(1.2) + np.float32(0.5), 0, 1)
        self.fill(field, spongy + dense * (np.float32(820) - spongy), tissue)

    def couch(self, top_y_mm: float) -> None:
        """A sandwich couch: foam between two shells, slightly hollow."""
        p = self.points
        depth = p.y - np.float32(top_y_mm) - np.float32(1.5) + (p.x / 60) ** 2 * np.float32(0.25)
        side = np.abs(p.x) - np.float32(_COUCH_HALF_WIDTH_MM)
        outside = np.maximum(np.maximum(-depth, depth - np.float32(_COUCH_THICKNESS_MM)), side)
        self.fill(self.everywhere(outside), -60.0, Tissue.AIR)
        self.fill(self.everywhere(outside + np.float32(3.5)), -920.0, Tissue.AIR)

    def rename(self, old: Tissue, new: Tissue, where: NDArray[np.bool_]) -> None:
        """Give a part of one tissue another code."""
        self.tissue[(self.tissue == old) & where] = new

    def noise(self) -> Distances:
        """Noise of unit variance at every voxel."""
        return self.texture.noise(self.points)


def _overlap(a: Window, b: Window) -> Window | None:
    both = tuple(slice(max(s.start, t.start), min(s.stop, t.stop)) for s, t in zip(a, b, strict=True))
    if any(s.start >= s.stop for s in both):
        return None
    return both  # type: ignore[return-value]
