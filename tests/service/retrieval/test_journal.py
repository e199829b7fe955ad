"""The journal after a good end, after a crash in the middle of a line, and while another run has it."""

from __future__ import annotations

import pytest

from service.errors import NodeError
from service.retrieval.journal import Journal


def test_what_is_done_is_known_to_the_next_run(tmp_path):
    with Journal(tmp_path, "a") as journal:
        journal.finish(3, (7, 8))
    with Journal(tmp_path, "a") as journal:
        assert journal.done == {3: (7, 8)}
    with Journal(tmp_path, "b") as journal:
        assert journal.done == {}


def test_a_line_that_was_cut_off_counts_for_nothing(tmp_path):
    with Journal(tmp_path, "a") as journal:
        journal.finish(1, (1,))
    file = tmp_path / "pulls" / "a.jsonl"
    file.write_bytes(file.read_bytes() + b'{"row": 2, "ser')
    with Journal(tmp_path, "a") as journal:
        assert journal.done == {1: (1,)}
        journal.finish(2, (2,))
    with Journal(tmp_path, "a") as journal:
        assert journal.done == {1: (1,), 2: (2,)}


def test_one_run_at_a_time(tmp_path):
    with Journal(tmp_path, "a"), pytest.raises(NodeError) as refusal:
        Journal(tmp_path, "a")
    assert refusal.value.code == "pull.under-way"
