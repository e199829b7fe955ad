from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from models.cards.yaml_sections import SectionInvalid, parsed, section


@dataclass(frozen=True)
class Wheel:
    spokes: int


@dataclass(frozen=True)
class Cart:
    name: str
    load_kg: float | Literal["unknown"]
    wheels: tuple[Wheel, ...]
    size: tuple[float, float] = (1.0, 2.0)
    owners: Mapping[str, int | None] | None = None

    def __post_init__(self):
        if self.name == "none":
            raise ValueError("a cart has a name")


def cart(text: str) -> Cart:
    return section(Cart, parsed(text), "cart")


def test_every_kind_of_field_is_read():
    found = cart("{name: a, load_kg: 3, wheels: [{spokes: 8}], size: [2, 3.5], owners: {x: null, y: 2}}")
    assert found == Cart("a", 3.0, (Wheel(8),), (2.0, 3.5), {"x": None, "y": 2})
    assert cart("{name: a, load_kg: unknown, wheels: [], owners: null}").load_kg == "unknown"


@pytest.mark.parametrize(("text", "number"), [("1e-4", 1e-4), ("2E3", 2000.0), ("-5.e+1", -50.0)])
def test_a_number_with_an_exponent_is_a_number_and_not_a_word(text, number):
    assert parsed(text) == number
    assert parsed("e4") == "e4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "cart must be a mapping"),
        ("{name: a}", r"keys are missing; found \['load_kg', 'wheels'\]"),
        ("{name: a, load_kg: 1, wheels: [], colour: red}", r"found \['colour'\]"),
        ("{name: a, load_kg: much, wheels: []}", "a number; found 'much'. Or: .* one of unknown"),
        ("{name: a, load_kg: true, wheels: []}", "a number; found True"),
        ("{name: a, load_kg: 1, wheels: [{spokes: 8.0}]}", r"cart.wheels\[0\].spokes must be of type int"),
        ("{name: a, load_kg: 1, wheels: [], size: [1]}", "2 values"),
        ("{name: a, load_kg: 1, wheels: [], owners: {x: y}}", "cart.owners.x must be of type int"),
        ("{name: none, load_kg: 1, wheels: []}", "cart: a cart has a name"),
    ],
)
def test_a_mistake_is_named_with_its_key(text, said):
    with pytest.raises(SectionInvalid, match=said):
        cart(text)
