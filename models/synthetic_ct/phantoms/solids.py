"""Solid bodies in patient millimetres, from which phantoms are built.

Each answers how far a point is from its surface, negative inside: exactly for capsules of constant radius and
flat plates, to first order elsewhere, exactly at the surface. Nothing here depends on the grid on which
the bodies are later sampled: the same point gets the same distance whatever the orientation of the slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.volume import FloatArray

Distances = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Points:
    """Positions, each coordinate ``(n, rows, columns)`` float32, mm."""

    x: Distances
    y: Distances
    z: Distances

    def __getitem__(self, window: tuple[slice, slice, slice]) -> Points:
        return Points(self.x[window], self.y[window], self.z[window])


class Solid(Protocol):
    """A body with a bounding box ``lo`` to ``hi`` (mm) and a distance to its surface."""

    @property
    def lo(self) -> FloatArray:
        """Lower corner of the bounding box."""
        ...

    @property
    def hi(self) -> FloatArray:
        """Upper corner of the bounding box."""
        ...

    def distance(self, p: Points) -> Distances:
        """Distance to the surface, mm, negative inside."""
        ...


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """An ellipsoid; ``axes`` are its three unit directions as rows."""

    centre: FloatArray
    radii_mm: FloatArray
    axes: FloatArray

    @property
    def lo(self) -> FloatArray:
        """Lower corner of the bounding box."""
        return self.centre - self._reach()

    @property
    def hi(self) -> FloatArray:
        """Upper corner of the bounding box."""
        return self.centre + self._reach()

    def _reach(self) -> FloatArray:
        return np.sqrt(((self.axes * self.radii_mm[:, None]) ** 2).sum(0))  # type: ignore[no-any-return]

    def distance(self, p: Points) -> Distances:
        """First-order distance: exact at the surface and at the centre of a ball."""
        level = np.zeros_like(p.x)
        slope = np.zeros_like(p.x)
        dx, dy, dz = (
            p.x - np.float32(self.centre[0]),
            p.y - np.float32(self.centre[1]),
            p.z - np.float32(self.centre[2]),
        )
        for axis, radius in zip(self.axes.astype(np.float32), self.radii_mm.astype(np.float32), strict=True):
            u = (dx * axis[0] + dy * axis[1] + dz * axis[2]) / radius
            level += u * u
            slope += (u / radius) ** 2
        level = np.sqrt(level)
        out: Distances = level * (level - 1) / np.sqrt(slope + np.float32(1e-12))
        return out


@dataclass(frozen=True, slots=True)
class Capsule:
    """A round bar from ``start`` to ``end`` whose radius changes evenly."""

    start: FloatArray
    end: FloatArray
    radius_start_mm: float
    radius_end_mm: float

    @property
    def lo(self) -> FloatArray:
        """Lower corner of the bounding box."""
        return np.minimum(self.start - self.radius_start_mm, self.end - self.radius_end_mm)

    @property
    def hi(self) -> FloatArray:
        """Upper corner of the bounding box."""
        return np.maximum(self.start + self.radius_start_mm, self.end + self.radius_end_mm)

    def distance(self, p: Points) -> Distances:
        """Distance to the axis less the radius there."""
        return _bar_distance(p, self.start, self.end, self.radius_start_mm, self.radius_end_mm)


@dataclass(frozen=True, slots=True)
class Plate:
    """A triangle with rounded edges.

    Attributes:
        corners: ``(3, 3)``.
        half_mm: ``(3,)`` half thickness at each corner.
        edges: which edges it rounds itself; number i runs from corner i to the next. Neighbours in a sheet
            share theirs.
    """

    corners: FloatArray
    half_mm: FloatArray
    edges: tuple[int, ...] = (0, 1, 2)

    @property
    def lo(self) -> FloatArray:
        """Lower corner of the bounding box."""
        return (self.corners - self.half_mm[:, None]).min(0)  # type: ignore[no-any-return]

    @property
    def hi(self) -> FloatArray:
        """Upper corner of the bounding box."""
        return (self.corners + self.half_mm[:, None]).max(0)  # type: ignore[no-any-return]

    def distance(self, p: Points) -> Distances:
        """Nearest of the plate's face and its own edges."""
        a, b, c = self.corners
        ta, tb, tc = (float(t) for t in self.half_mm)
        edges = np.full_like(p.x, np.inf)
        for i in self.edges:
            j = (i + 1) % 3
            bar = _bar_distance(p, self.corners[i], self.corners[j], self.half_mm[i], self.half_mm[j])
            np.minimum(edges, bar, out=edges)
        e1, e2 = b - a, c - a
        normal = _cross(e1, e2)
        area2 = float(normal @ normal)
        if area2 < 1e-9:
            return edges
        dual1 = (_cross(e2, normal) / area2).astype(np.float32)
        dual2 = (_cross(normal, e1) / area2).astype(np.float32)
        unit = (normal / np.sqrt(area2)).astype(np.float32)
        dx, dy, dz = p.x - np.float32(a[0]), p.y - np.float32(a[1]), p.z - np.float32(a[2])
        v = dx * dual1[0] + dy * dual1[1] + dz * dual1[2]
        w = dx * dual2[0] + dy * dual2[1] + dz * dual2[2]
        height = np.abs(dx * unit[0] + dy * unit[1] + dz * unit[2])
        face = height - (np.float32(ta) + v * np.float32(tb - ta) + w * np.float32(tc - ta))
        over = (v >= 0) & (w >= 0) & (v + w <= 1)
        out: Distances = np.where(over, np.minimum(face, edges), edges)
        return out


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cross product of two vectors: numpy's own spends most of its time on shapes."""
    (ax, ay, az), (bx, by, bz) = a, b
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _bar_distance(p: Points, start: FloatArray, end: FloatArray, r0: float, r1: float) -> Distances:
    axis = (end - start).astype(np.float32)
    length2 = float(axis @ axis)
    dx, dy, dz = p.x - np.float32(start[0]), p.y - np.float32(start[1]), p.z - np.float32(start[2])
    if length2 < 1e-9:
        knob: Distances = np.sqrt(dx * dx + dy * dy + dz * dz) - np.float32(max(r0, r1))
        return knob
    t = (dx * axis[0] + dy * axis[1] + dz * axis[2]) / np.float32(length2)
    np.clip(t, 0, 1, out=t)
    dx = dx - t * axis[0]
    dy = dy - t * axis[1]
    dz = dz - t * axis[2]
    out: Distances = np.sqrt(dx * dx + dy * dy + dz * dz) - (np.float32(r0) + t * np.float32(r1 - r0))
    return out


def ball(centre: ArrayLike, radius_mm: float) -> Ellipsoid:
    """A ball."""
    return ellipsoid(centre, (radius_mm, radius_mm, radius_mm))


def ellipsoid(centre: ArrayLike, radii_mm: ArrayLike, tilt_rad: float = 0.0) -> Ellipsoid:
    """An ellipsoid along the patient's axes, tilted about the left-right one (positive: top to the back)."""
    c, s = np.cos(tilt_rad), np.sin(tilt_rad)
    axes = np.array([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=float)
    return Ellipsoid(np.asarray(centre, float), np.asarray(radii_mm, float), axes)


def tube(points: ArrayLike, radii_mm: ArrayLike, refine: int = 1) -> tuple[Capsule, ...]:
    """Capsules along a smooth curve through ``points`` ``(n, 3)``; ``refine`` pieces between two of them."""
    p = np.asarray(points, float)
    r = np.broadcast_to(np.asarray(radii_mm, float), len(p))
    if refine > 1:
        p, r = refined(p, refine), refined(r, refine)
    return tuple(
        Capsule(a, b, float(ra), float(rb)) for a, b, ra, rb in zip(p[:-1], p[1:], r[:-1], r[1:], strict=True)
    )


def sheet(points: ArrayLike, half_mm: ArrayLike, refine: int = 2) -> tuple[Plate, ...]:
    """Plates over a smooth surface through ``points`` ``(m, n, 3)``; half thickness ``(m, n)`` or one."""
    p = np.asarray(points, float)
    t = np.broadcast_to(np.asarray(half_mm, float), p.shape[:2])
    for _ in range(2):  # along one direction, then, transposed, along the other
        p, t = refined(p, refine).swapaxes(0, 1), refined(t, refine).swapaxes(0, 1)
    plates = []
    for i in range(p.shape[0] - 1):
        for j in range(p.shape[1] - 1):
            near, far = ((i, j), (i + 1, j), (i, j + 1)), ((i + 1, j + 1), (i, j + 1), (i + 1, j))
            rim = ((0,) if j == p.shape[1] - 2 else ()) + ((2,) if i == p.shape[0] - 2 else ())
            for corners, edges in ((near, (0, 1, 2)), (far, rim)):
                plates.append(
                    Plate(np.array([p[k] for k in corners]), np.array([t[k] for k in corners]), edges)
                )
    return tuple(plates)


def refined(values: FloatArray, pieces: int) -> FloatArray:
    """Catmull-Rom interpolation along the first axis: ``(n, ...)`` to ``((n - 1) * pieces + 1, ...)``."""
    first, last = 2 * values[:1] - values[1:2], 2 * values[-1:] - values[-2:-1]
    v = np.concatenate([first, values, last])
    out = []
    for i in range(1, len(v) - 2):
        for t in np.arange(pieces) / pieces:
            a, b, c, d = v[i - 1 : i + 3]
            out.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
    return np.array([*out, values[-1]])
