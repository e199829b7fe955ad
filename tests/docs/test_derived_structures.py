"""The page of derived structures: its example works, its codes and keys are the program's."""

from __future__ import annotations

import re

import pytest

from service.config.derivation import OPERATIONS
from service.config.reader import parse
from service.contouring.derivation import evaluation
from service.contouring.derivation.rois import all_rois


@pytest.fixture(scope="module")
def page(repository) -> str:
    return (repository / "docs" / "derived-structures.md").read_text()


def test_the_example_works_and_the_aid_is_no_target(page, tmp_path):
    text = page.split("```yaml\n")[1].split("```")[0]
    protocol = parse(text, tmp_path / "config.yaml", check_bundles=False).site.protocols["pelvis"]
    rois = {roi.name: roi for roi in all_rois(protocol)}
    assert list(rois) == [
        "Bladder", "Rectum", "SpinalCanal", "SpinalCanal_PRV5", "Bag_Bowel", "zVessels_07", "zRing_Bladder",
    ]  # fmt: skip
    aid = rois["zVessels_07"]
    assert aid.remarks[0] == "aid only: obturator, presacral and visible nodes not included."
    assert aid.known.interpreted_type == "CONTROL"
    assert "CTV" not in aid.name.upper()
    assert [use.if_refused for use in protocol.uses] == ["refuse", "leave_out"]


def test_every_operation_and_every_code_stands_in_the_page(page, repository):
    for key in OPERATIONS:
        assert f"`{key}" in page, key
    source = (repository / "service/contouring/derivation/evaluation.py").read_text()
    codes = set(re.findall(r'"(derived\.[a-z-]+)"', source))
    assert codes == set(re.findall(r"`(derived\.[a-z-]+)`", page))
    assert codes == set(re.findall(r"``(derived\.[a-z-]+)``", evaluation.__doc__))
