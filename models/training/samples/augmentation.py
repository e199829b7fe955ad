"""Augmentations as a recipe names them, drawn for one sample after another.

The image is looked up linearly and masks at the nearest voxel, so that labels stay labels and structures that
touch still do. Liu X. 2024 takes the nearest value for images too; a linear one keeps CT numbers smooth.
Everything is drawn from a `Chance` of the sample's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.cards.yaml_sections import SectionInvalid, section
from models.chance import Chance
from models.tg263 import Side, side_of
from models.training.recipes.recipe import Named
from models.training.recipes.recipe_book import RecipeInvalid
from models.training.samples.augmentation_kinds import (
    Affine,
    Augmentation,
    Colour,
    Drawn,
    Elastic,
    Flip,
    HuShift,
    Noise,
    Rotation,
    Scale,
)
from models.training.samples.warp import View, Warp

AUGMENTATIONS: Final[Mapping[str, type[Augmentation]]] = {
    "rotation": Rotation,
    "scale": Scale,
    "flip": Flip,
    "affine": Affine,
    "elastic": Elastic,
    "hu-shift": HuShift,
    "noise": Noise,
    "colour": Colour,
}
"""What the name of an augmentation in a recipe may be; arguments are the fields of the class."""


@dataclass(frozen=True, slots=True)
class Augmentations:
    """What a recipe asks for, in its order.

    Attributes:
        steps: one after the other; bending always comes last.
        mirror: for each structure, which one it is in a mirror.
    """

    steps: tuple[Augmentation, ...] = ()
    mirror: tuple[int, ...] = ()

    @classmethod
    def of(cls, named: Sequence[Named], structures: Sequence[str]) -> Augmentations:
        """As a recipe names them, for these structures.

        Raises:
            RecipeInvalid: ``recipe.augmentation``, no such augmentation, a foreign or wrong argument, or a
                flip along x with one side of a pair only.
        """
        steps = tuple(_step(each, f"augmentation.{i}") for i, each in enumerate(named))
        mirror, alone = _mirror(structures)
        if alone and any(isinstance(step, Flip) and step.axis == "x" for step in steps):
            sentence = (
                f"A flip along x makes left right, and {', '.join(alone)} would get the other side's voxels. "
                "Add the other side to the structures, or take the flip along x out."
            )
            raise RecipeInvalid("recipe.augmentation", sentence)
        return cls(steps, mirror)

    def drawn(self, view: View, chance: Chance) -> Drawn:
        """What happens to the sample with this ``chance``."""
        drawn = Drawn(Warp.none(len(view.shape)))
        for step in self.steps:
            if step.probability >= 1 or chance.happens(step.probability):
                drawn = step.add(drawn, view, chance)
        return drawn


def _step(named: Named, where: str) -> Augmentation:
    kind = AUGMENTATIONS.get(named.name)
    if kind is None:
        sentence = f"There is no augmentation {named.name}; choose one of {', '.join(AUGMENTATIONS)}."
        raise RecipeInvalid("recipe.augmentation", sentence)
    try:
        return section(kind, dict(named.arguments), f"{where}.arguments")
    except SectionInvalid as error:
        raise RecipeInvalid("recipe.augmentation", str(error)) from error


def _mirror(structures: Sequence[str]) -> tuple[tuple[int, ...], list[str]]:
    """The place of each structure's mirror image, and structures whose other side is not among them."""
    places: list[int] = []
    alone: list[str] = []
    other: dict[Side, Side] = {"L": "R", "R": "L"}
    for at, name in enumerate(structures):
        side = side_of(name)
        wanted = name if side is None else name[:-1] + other[side]
        if wanted not in structures:
            alone.append(name)
        places.append(structures.index(wanted) if wanted in structures else at)
    return tuple(places), alone
