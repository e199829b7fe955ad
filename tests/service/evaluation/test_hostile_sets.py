"""Sets with bytes that nobody well-meaning sends: each is compared, or refused with a code."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
from fuzz.mutations import mutated
from pydicom.uid import ExplicitVRLittleEndian

from service.config.evaluation_section import EvaluationSection
from service.dicom.structure_set_reader import read_structure_set
from service.errors import StructureSetInvalid
from service.evaluation.comparison import compare_sets
from service.evaluation.received_set import ReceivedSet

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom's, of values that are wrong on purpose


def explicit(edited) -> tuple[bytes, bytes]:
    """File Meta Information, and the data set in Explicit VR."""
    edited.ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = BytesIO()
    edited.ds.save_as(content, implicit_vr=False, little_endian=True, enforce_file_format=True)
    data = content.getvalue()
    begins = 132 + 12 + int.from_bytes(data[140:144], "little")
    return data[:begins], data[begins:]


def test_mutated_bytes_are_compared_or_refused(our_ct):
    head, body = explicit(our_ct.edited())
    words = body.rfind(b"\x06\x30\x80\x00")  # the RT ROI Observations Sequence and what follows
    ours, rules, chance, refused = (
        read_structure_set(our_ct.encoded),
        EvaluationSection(),
        Random(11),
        Counter(),
    )
    for _ in range(80):
        damaged = bytearray(body)
        for _ in range(chance.randint(1, 6)):
            damaged[chance.randrange(words, len(body))] = chance.choice((0, 0x30, 0x41, 0x5C, 0xFF))
        data = head + (bytes(damaged) if chance.random() < 0.5 else mutated(body, chance))
        try:
            received = ReceivedSet("x", Path("x.dcm"), 0.0, data)
            received.check()
            found = compare_sets(ours, received.structure_set, our_ct.geometry, rules)
            assert len(found) == len(ours.rois)
        except StructureSetInvalid as error:
            refused[error.code] += 1
    assert set(refused) <= {"structure-set.unreadable", "structure-set.other-class"}
    assert 10 < refused.total() < 75


def test_coordinates_out_of_this_world_are_compared(our_ct):
    edited = our_ct.edited()
    for name, factor in (("Bladder", 1e30), ("Rectum", -1e9)):
        edited.move_points(name, lambda points, factor=factor: points * np.array([factor, factor, 1.0]))
    for item in (*edited.contours("Bladder"), *edited.contours("Rectum")):
        item.ContourData = [f"{float(value):.8g}" for value in item.ContourData]
    theirs = read_structure_set(edited.encoded())
    ours = read_structure_set(our_ct.encoded)
    found = {
        each.structure: each for each in compare_sets(ours, theirs, our_ct.geometry, EvaluationSection())
    }
    assert found["Bladder"].measures["dsc"] < 0.5
    assert found["Rectum"].measures["dsc"] < 0.5
    assert found["Spine"].measures["dsc"] == 1.0
