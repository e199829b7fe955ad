"""Both contours of a reviewed structure, where they are on the CT."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_structures import GRID
from reviewed_cases import RADIUS_MM, SHIFT_MM, case_on_disk

from service.backlog.ledger import Ledger, LedgerRefused
from service.config.reader import load
from service.node.reviewed_case import picture_of, reviewed_case

CONFIG = """
node: {storage: ./var}
senders: {SCANNER: }
destinations: {eclipse: {ae_title: ECLIPSE, host: 127.0.0.1, port: 11113}}
protocols: {pelvis: {model: pelvis-ct@2.0, allow_unvalidated: true, structures: {Bladder: }}}
routes: [{name: all, when: {Modality: CT}, contour: pelvis, send_to: [eclipse], mode: send}]
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "var").mkdir()
    ledger = Ledger(f"sqlite:///{tmp_path / 'var' / 'delineate.sqlite'}", tmp_path / "var")
    ledger.migrate()
    yield load(tmp_path / "config.yaml"), ledger
    ledger.close()


def test_the_two_contours_lie_where_they_were_drawn(place):
    loaded, ledger = place
    made = case_on_disk(ledger, loaded.storage)
    case = reviewed_case(loaded, ledger, ledger.reviewed_structure(made.id))
    middle = next(each for each in case.slices if each.index == GRID.shape_zyx[0] // 2)
    ours, theirs = (np.concatenate(each) for each in (middle.ours, middle.theirs))
    # pixels are 0.9 mm wide and 1.2 mm high; the ball is about column 30, row 28
    assert np.allclose(np.hypot((ours[:, 0] - 30) * 0.9, (ours[:, 1] - 28) * 1.2), RADIUS_MM, atol=0.1)
    assert np.allclose(
        np.hypot((theirs[:, 0] - 30) * 0.9, (theirs[:, 1] - 28) * 1.2 - SHIFT_MM), RADIUS_MM, atol=0.1
    )
    assert middle.measures is not None
    assert middle.measures.dsc == pytest.approx(0.7 + 0.01 * middle.index)
    assert case.slices[case.worst].index == 3  # its DSC is the least
    column, row, wide, tall = case.box
    assert (column, row) == (0, 0)  # 25 mm beyond the ball is beyond the first column and row
    assert (column + wide, row + tall) <= (60, 56)


def test_a_picture_is_cut_from_the_slice_with_its_contours(place):
    loaded, ledger = place
    made = case_on_disk(ledger, loaded.storage)
    case = reviewed_case(loaded, ledger, ledger.reviewed_structure(made.id))
    picture = picture_of(case, "worst")
    column, row, wide, tall = case.box
    assert picture.hu.shape == (tall, wide)
    assert np.array_equal(picture.hu, case.hu(3)[row : row + tall, column : column + wide])
    assert picture.aspect == pytest.approx(1.2 / 0.9)


@pytest.mark.parametrize("gone", ["ct", "ours", "theirs"])
def test_files_that_were_deleted_are_said_to_be(place, gone):
    loaded, ledger = place
    made = case_on_disk(ledger, loaded.storage)
    {"ct": made.files[0], "ours": made.ours, "theirs": made.theirs}[gone].unlink()
    with pytest.raises(LedgerRefused) as refused:
        reviewed_case(loaded, ledger, ledger.reviewed_structure(made.id))
    assert refused.value.code == "review.files-gone"


def test_a_structure_that_did_not_come_back_has_no_picture(place):
    loaded, ledger = place
    made = case_on_disk(ledger, loaded.storage, their_name=None, matched_by=None, measures={})
    with pytest.raises(LedgerRefused) as refused:
        reviewed_case(loaded, ledger, ledger.reviewed_structure(made.id))
    assert refused.value.code == "review.not-drawn"
