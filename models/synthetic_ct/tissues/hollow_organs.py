"""Organs with a wall and changing content: bladder, rectum, small bowel, stomach, colon."""

from __future__ import annotations

import torch
from torch import Tensor

from models.synthetic_ct.tissues.painting import Painting
from models.synthetic_ct.tissues.tissue_maps import Tissue


def paint_hollow_organs(p: Painting) -> None:
    """Paint all of them."""
    _paint_bladder(p)
    _paint_rectum(p)
    _paint_small_bowel(p)
    _paint_colon(p)


def _walled(p: Painting, mask: Tensor, inner: Tensor, content: Tensor, wall_hu: float) -> None:
    p.put(mask, inner * content + (1 - inner) * wall_hu)


def _mixed(condition: Tensor, hu: float, otherwise: Tensor) -> Tensor:
    return torch.where(condition, torch.full_like(otherwise, hu), otherwise)


def _paint_bladder(p: Painting) -> None:
    """Urine, sometimes with a layer of contrast at the back or a bubble of gas in front."""
    c = p.chance
    mask = p.where(Tissue.BLADDER)
    inner = p.depth(mask, c.between(2, 5), 0.55, 0.9)
    wall = c.between(20, 48) + p.enhancement(5, 25)
    content = p.hu + p.grain[1]
    rows = torch.arange(mask.shape[1], device=mask.device)
    shown = mask.any(2).any(0)
    if c.happens(0.22):
        strength = c.geometric(60, 900)
        middle = float((shown * rows).sum() / shown.sum().clamp(min=1)) + c.between(-25, 25) / p.voxel_mm
        layered = torch.sigmoid((rows[None, :, None] - middle) / (c.between(1, 14) / p.voxel_mm))
        content = content + strength * (layered if c.happens(0.75) else c.between(0.2, 1))
    if c.happens(0.06) and bool(shown.any()):
        level = float(rows[shown].min()) + c.between(4, 20) / p.voxel_mm
        content = _mixed((rows < level)[None, :, None].expand_as(content), -950.0, content)
    _walled(p, mask, inner, content, wall)


def _paint_rectum(p: Painting) -> None:
    """Empty, full of stool, of gas, or of contrast."""
    c = p.chance
    mask = p.where(Tissue.RECTUM)
    inner = p.depth(mask, c.between(3, 6), 0.5, 0.9)
    wall = c.between(25, 55) + p.enhancement(0, 25)
    kind = c.between(0, 1)
    if kind < 0.35:
        content = c.between(10, 45) + p.coarse[0] * c.between(2, 12)
    elif kind < 0.65:
        content = c.between(-60, 50) + p.coarse[0] * c.between(5, 40) + p.grain[0] * c.between(10, 70)
        bubbles = p.grain[1] + p.coarse[1] * 0.5 > c.between(0.8, 2.0)
        content = _mixed(bubbles, c.between(-900, -300), content)
    elif kind < 0.92:
        gas = p.coarse[0] * 0.7 + p.coarse[2] * 0.7 > c.between(-1.5, 1.0)
        content = _mixed(gas, c.between(-980, -700), c.between(0, 50) + p.grain[0] * c.between(3, 30))
    else:
        content = c.between(100, 500) + p.coarse[0] * 40
    _walled(p, mask, inner, content, wall)


def _paint_small_bowel(p: Painting) -> None:
    """Loops told apart by their folds; oral contrast, gas and the fat of the mesentery between them."""
    c = p.chance
    mask = p.where(Tissue.BOWEL, Tissue.STOMACH)
    content = c.between(15, 45) + p.coarse[0] * c.between(4, 16) + p.grain[0] * c.between(2, 12)
    content = _mixed(
        p.coarse[0].abs() < c.between(0.08, 0.25), c.between(30, 70) + p.enhancement(0, 60), content
    )
    if c.happens(0.45):
        content = torch.where(p.coarse[1] > c.between(0.2, 1.3), content + c.geometric(50, 450), content)
    if c.happens(0.75):
        content = _mixed(p.coarse[2] > c.between(0.9, 2.2), c.between(-950, -600), content)
    if c.happens(0.7):
        content = torch.where(p.coarse[3] > c.between(0.9, 2.0), p.fat_hu + p.grain[1] * 12, content)
    inner = p.depth(mask, 3.0, 0.35, 0.8)
    _walled(p, mask, inner, content, c.between(25, 50) + p.enhancement(0, 50))


def _paint_colon(p: Painting) -> None:
    """Stool with bubbles, sometimes contrast; often gas; now and then empty."""
    c = p.chance
    mask = p.where(Tissue.COLON)
    content = c.between(-60, 50) + p.coarse[1] * c.between(5, 35) + p.grain[1] * c.between(5, 70)
    if c.happens(0.5):
        bubbles = p.grain[0] + 0.4 * p.coarse[3] > c.between(0.9, 2.2)
        content = _mixed(bubbles, c.between(-800, -250), content)
    if c.happens(0.2):
        content = content + c.between(60, 500)
    kind = c.between(0, 1)
    if kind < 0.85:
        threshold = c.between(-1.0, 0.6) if kind < 0.4 else c.between(0.6, 1.8)
        gas = p.coarse[0] * 0.6 + p.coarse[2] * 0.8 > threshold
        content = _mixed(gas, c.between(-990, -800), content)
    elif kind > 0.93:
        content = c.between(10, 40) + p.coarse[0] * 8
    inner = p.depth(mask, c.between(2.5, 4), 0.4, 0.85)
    _walled(p, mask, inner, content, c.between(20, 50) + p.enhancement(0, 40))
