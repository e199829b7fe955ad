"""Names as people write them, in several languages, and the side that each says."""

import pytest

from models.sides import side_in_all, side_in_words


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("Femur_Head_L", "left"),
        ("FemHeadR", "right"),
        ("femur_left", "left"),
        ("LT kidney", "left"),
        ("Niere re", "right"),
        ("Tête fémorale gauche", "left"),
        ("股骨头左", "left"),
        ("右肾", "right"),
        ("Bladder", None),
        ("Lens", None),  # begins with l
        ("Vertebra L5", None),  # a lumbar one
        ("left and right", None),
    ],
)
def test_a_side_is_a_word_of_its_own(name: str, side: str | None) -> None:
    assert side_in_words(name) == side


def test_several_names_say_a_side_if_all_do() -> None:
    assert side_in_all(["Kidney_L", "Ureter left"]) == "left"
    assert side_in_all(["Kidney_L", "Bladder"]) is None
    assert side_in_all(["Kidney_L", "Kidney_R"]) is None
