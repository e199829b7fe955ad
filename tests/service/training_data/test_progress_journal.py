"""What an import has done so far survives what stops it."""

from __future__ import annotations

import pytest

from service.errors import DataRefused
from service.training_data.import_report import CaseMade
from service.training_data.progress_journal import CtDone, ProgressJournal
from service.training_data.remarks import Remark, Weight

CASE = CaseMade("p0001-1", "p0001", "Müller/CT", "1.2.3", {"Bladder": 81.5, "Uterus": 0.0})
DONE = CtDone(
    CASE, "ab" * 32, [Remark("roi.gap", "x", Weight.LEFT_OUT, "Müller/CT", "膀胱", structure="Bladder")]
)
REFUSED = CtDone(None, "", [Remark("series.hole", "x", Weight.LEFT_OUT)])


def test_what_was_done_is_known_to_the_next_one(tmp_path):
    file = tmp_path / "records" / "unfinished.jsonl"
    first = ProgressJournal(file, "options")
    assert first.is_new
    assert first.done("ct 1") is None
    first.begin()
    first.note("ct 1", DONE)
    first.note("ct 2", REFUSED)
    second = ProgressJournal(file, "options")
    assert not second.is_new
    assert second.done("ct 1") == DONE
    assert second.done("ct 2") == REFUSED
    assert second.done("ct 3") is None
    assert file.stat().st_mode & 0o077 == 0
    second.remove()
    assert not file.exists()


def test_a_line_that_was_torn_is_done_again_and_takes_no_other_with_it(tmp_path):
    file = tmp_path / "unfinished.jsonl"
    first = ProgressJournal(file, "options")
    first.begin()
    first.note("ct 1", DONE)
    with file.open("a") as stream:
        stream.write('\n{"key": "ct 2", "ca')
    again = ProgressJournal(file, "options")
    again.note("ct 3", REFUSED)
    last = ProgressJournal(file, "options")
    assert [last.done(key) is not None for key in ("ct 1", "ct 2", "ct 3")] == [True, False, True]


def test_a_first_line_that_was_torn_is_a_new_beginning(tmp_path):
    (tmp_path / "unfinished.jsonl").write_text('{"begun')
    assert ProgressJournal(tmp_path / "unfinished.jsonl", "options").is_new


def test_other_options_are_another_import(tmp_path):
    ProgressJournal(tmp_path / "unfinished.jsonl", "options").begin()
    with pytest.raises(DataRefused) as refused:
        ProgressJournal(tmp_path / "unfinished.jsonl", "other options")
    assert refused.value.code == "records.other-unfinished"


def test_a_full_disk_is_told(tmp_path):
    journal = ProgressJournal(tmp_path / "unfinished.jsonl", "options")
    (tmp_path / "unfinished.jsonl").mkdir()
    with pytest.raises(DataRefused) as refused:
        journal.note("ct 1", DONE)
    assert refused.value.code == "records.unwritable"
