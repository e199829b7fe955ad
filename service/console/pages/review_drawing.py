"""One slice of a reviewed structure as three pictures: ours, the reviewer's, and what differs between them.

The CT is a PNG; contours and difference are drawn over it as SVG, in millimetres. What the reviewer added is
hatched, what they took away is dotted: the two are told apart without colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from models.volume import FloatArray
    from service.contouring.ct_pixels import HuArray
    from service.node.reviewed_case import ReviewedCase, ReviewedSlice

WINDOWS: Final = {"soft": (400.0, 40.0), "bone": (1500.0, 300.0), "lung": (1500.0, -600.0)}
"""Width and level, HU; as in the viewer of a case."""

PANELS: Final = ("ours", "theirs", "difference")


def png_of(hu: HuArray, window: str) -> bytes:
    """A slice ``(rows, columns)`` as a PNG of 8 bits, black and white at the ends of the window."""
    from PIL import Image

    width, level = WINDOWS[window]
    gray = np.clip((hu.astype(np.float32) - level) / width + 0.5, 0.0, 1.0)
    out = BytesIO()
    Image.fromarray(np.round(255 * gray).astype(np.uint8)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def panels(case: ReviewedCase, shown: ReviewedSlice, image: str, titles: Sequence[str]) -> list[Markup]:
    """The pictures of ``PANELS``.

    Args:
        case: whose slice it is.
        shown: the slice.
        image: address of its PNG.
        titles: what is read out in place of each.
    """
    return [_panel(case, shown, image, panel, title) for panel, title in zip(PANELS, titles, strict=True)]


def _panel(case: ReviewedCase, shown: ReviewedSlice, image: str, panel: str, title: str) -> Markup:
    grid = case.series.grid
    across, down = grid.column_spacing_mm, grid.row_spacing_mm
    column, row, wide, tall = case.box
    box = f"{(column - 0.5) * across:.2f} {(row - 0.5) * down:.2f} {wide * across:.2f} {tall * down:.2f}"
    ours, theirs = (_path(each, across, down) for each in (shown.ours, shown.theirs))
    parts = [
        f'<image href="{escape(image)}" x="{-0.5 * across:.3f}" y="{-0.5 * down:.3f}" '
        f'width="{grid.columns * across:.3f}" height="{grid.rows * down:.3f}" preserveAspectRatio="none"/>'
    ]
    if panel == "difference":
        parts.append(_definitions(ours, theirs))
        parts += [_area("added", theirs, "not-ours"), _area("removed", ours, "not-theirs")]
    if panel != "theirs":
        parts.append(f'<path class="ours" d="{ours}"/>')
    if panel != "ours":
        parts.append(f'<path class="theirs" d="{theirs}"/>')
    body = "".join(parts)
    return Markup(  # noqa: S704 - numbers, and texts that are escaped
        f'<svg class="slice" viewBox="{box}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )


def _definitions(ours: str, theirs: str) -> str:
    everything = '<rect x="-9999" y="-9999" width="99999" height="99999" fill="white"/>'
    units = 'maskUnits="userSpaceOnUse" x="-9999" y="-9999" width="99999" height="99999"'
    turned = 'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"'
    return (
        "<defs>"
        f'<pattern id="added" width="3" height="3" {turned}>'
        '<rect class="added-back" width="3" height="3"/>'
        '<rect class="added" width="1.2" height="3"/></pattern>'
        '<pattern id="removed" width="3" height="3" patternUnits="userSpaceOnUse">'
        '<rect class="removed-back" width="3" height="3"/>'
        '<circle class="removed" cx="1.5" cy="1.5" r="0.8"/></pattern>'
        f'<mask id="not-ours" {units}>{everything}{_hidden(ours)}</mask>'
        f'<mask id="not-theirs" {units}>{everything}{_hidden(theirs)}</mask>'
        "</defs>"
    )


def _hidden(path: str) -> str:
    return f'<path d="{path}" fill="black" fill-rule="evenodd"/>'


def _area(pattern: str, path: str, mask: str) -> str:
    return f'<path d="{path}" fill="url(#{pattern})" fill-rule="evenodd" mask="url(#{mask})"/>'


def _path(polygons: Sequence[FloatArray], across: float, down: float) -> str:
    """Closed contours in millimetres; empty if there are none."""
    drawn = []
    for points in polygons:
        corners = " ".join(f"{x * across:.2f},{y * down:.2f}" for x, y in points.tolist())
        drawn.append(f"M{corners}Z")
    return "".join(drawn)
