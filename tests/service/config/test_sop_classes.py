"""SOP classes as people write them."""

from __future__ import annotations

import pytest

from service.config.sop_classes import sop_class_uid

RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"


@pytest.mark.parametrize("written", ["RTPlanStorage", "RT Plan Storage", RT_PLAN])
def test_a_sop_class_is_known_by_keyword_name_and_uid(written):
    assert sop_class_uid(written) == RT_PLAN


def test_a_private_sop_class_is_known_by_its_uid_only():
    assert sop_class_uid("1.3.12.2.1107.5.9.1") == "1.3.12.2.1107.5.9.1"


@pytest.mark.parametrize(
    "written", ["RTPlan", "1.2.840.10008.5.1.4.9999", "1.2.3.", "1.02.3", "ExplicitVRLittleEndian", ""]
)
def test_what_is_no_sop_class_is_none(written):
    assert sop_class_uid(written) is None
