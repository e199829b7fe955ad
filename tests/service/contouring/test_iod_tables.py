"""Module by module, highdicom's table is the table that it reads whole; and it is this one that it asks."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from highdicom import _standard_utils
from pydicom.uid import RTStructureSetStorage

import service.contouring.rt_structure_set  # noqa: F401 whoever writes structure sets reads so
from service.contouring.iod_tables import ModuleTable


def test_every_module_is_the_one_of_the_whole_table() -> None:
    whole = json.loads((files("highdicom") / "_standard" / "module_attribute_map.json").read_bytes())
    table = ModuleTable()
    assert list(table) == list(whole)
    assert len(table) == len(whole)
    assert dict(table) == whole


def test_a_module_that_there_is_not() -> None:
    table = ModuleTable()
    assert "no-such-module" not in table
    with pytest.raises(KeyError):
        table["no-such-module"]


def test_highdicom_asks_the_table_module_by_module() -> None:
    assert isinstance(_standard_utils.get_module_attribute_map(), ModuleTable)
    assert _standard_utils.is_attribute_in_iod("ROIContourSequence", RTStructureSetStorage)
    assert not _standard_utils.is_attribute_in_iod(
        "ContentDate", RTStructureSetStorage
    )  # PS3.3 A.19.3 has none
