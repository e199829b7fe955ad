"""The small file that says how far contouring is."""

from __future__ import annotations

import os

import pytest

from service.backlog.contouring_progress import part_done, told_in


def test_within_a_second_nothing_new_is_written_and_after_it_the_newest_is(tmp_path):
    at = 10.0
    with told_in(tmp_path, run=1, clock=lambda: at) as tell:
        tell(0.1)
        at = 10.9
        tell(0.2)
        assert part_done(tmp_path, 1) == 0.1
        at = 11.0
        tell(0.3)
        assert part_done(tmp_path, 1) == 0.3
    assert list(tmp_path.iterdir()) == []  # nothing of it is left afterwards


def test_another_run_and_what_is_no_progress_say_nothing(tmp_path):
    with told_in(tmp_path, run=1) as tell:
        tell(0.1)
        assert part_done(tmp_path, 2) is None
    for text in ("", "[]", "{}", '{"part": "x", "run": 1}', '{"part": 0.5}', "\xff"):
        (tmp_path / "progress.json").write_text(text, encoding="latin-1")
        assert part_done(tmp_path, 1) is None
    (tmp_path / "progress.json").write_text('{"part": 1.7, "run": 1}')
    assert part_done(tmp_path, 1) == 1.0


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_takes_nothing_does_not_end_the_run(tmp_path):
    tmp_path.chmod(0o500)
    with told_in(tmp_path, run=1) as tell:
        tell(0.1)
    assert part_done(tmp_path, 1) is None
    tmp_path.chmod(0o700)


def test_a_folder_that_is_gone_does_not_end_the_run(tmp_path):
    with told_in(tmp_path / "purged", run=1) as tell:
        tell(0.1)
    assert part_done(tmp_path / "purged", 1) is None
