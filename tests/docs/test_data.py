"""What the documentation of data sets says of codes, names and figures is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.training_data.import_report import _ENOUGH_CASES, UNUSUAL_TIMES
from service.training_data.name_files import SHIPPED, read_name_file
from service.training_data.nifti_files import IMAGES, LABEL_MAPS, MASK_FOLDERS
from service.training_data.roi_drawing import MISSING_SHARE, OVERLAP_SHARE
from service.training_data.roi_names import RoiNames

AREAS = "review|roi|structure-set|ct|file|patient|nifti|structure"


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    return (repository / "docs" / "data.md").read_text(encoding="utf-8")


def codes_in_table(text: str) -> set[str]:
    """``a.b`` as it stands, and ``.c`` completed by the area of the code before it."""
    table = text.partition("| code | what it says |")[2].partition("\n\n")[0]
    found, area = set(), ""
    for row in table.splitlines()[2:]:
        for code in re.findall(r"`([a-z-]*\.[a-z0-9*-]+)`", row.split("|")[1]):
            area = code.partition(".")[0] or area
            found.add(f"{area}.{code.partition('.')[2]}")
    return {code for code in found if not code.endswith("*")}


def test_every_code_of_the_report_is_explained_and_no_other(text: str, repository: Path) -> None:
    program = "\n".join(file.read_text() for file in (repository / "service" / "training_data").glob("*.py"))
    said = set(re.findall(rf'"((?:{AREAS})\.[a-z0-9-]+)"', program))
    assert codes_in_table(text) == said
    assert len(said) > 50


def test_the_example_of_a_file_of_names_can_be_read(text: str, tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(structures:.*?)```", text, re.S)
    assert example
    (tmp_path / "ours.yaml").write_text(example.group(1), encoding="utf-8")
    names = RoiNames.read([tmp_path / "ours.yaml"])
    assert names.match("Blase neu").structure == "Bladder"
    assert names.known["CTVn"].minimum_height_mm == 80


def test_the_names_that_it_gives_as_examples_are_matched(text: str) -> None:
    names = RoiNames.read()
    for name in ("URINARY_BLADDER", "Blase", "urinblåsa", "мочевой пузырь", "膀胱"):
        assert f"`{name}`" in text
        assert names.match(name).structure == "Bladder"
    for name in ("FemHead_L", "Hüftkopf re", "Tête fémorale G", "股骨头左"):
        assert f"`{name}`" in text
        assert names.match(name).structure in ("Femur_Head_L", "Femur_Head_R")


def test_its_figures_are_those_of_the_code(text: str) -> None:
    content = read_name_file(SHIPPED)
    assert f"{len(content.languages)} languages" in text
    assert f"some {round(len(content.structures), -1)} structures" in text
    assert f"by more than {OVERLAP_SHARE * 100:.0f} %" in text.replace("\n", " ")
    assert f"more than {MISSING_SHARE * 100:.0f} %" in text
    assert (UNUSUAL_TIMES, _ENOUGH_CASES) == (8, 5)
    assert "eight times larger or smaller than the median of five cases" in text
    for name in (*IMAGES, *LABEL_MAPS, *MASK_FOLDERS):
        assert re.search(rf"\b{name}\b", text), name
