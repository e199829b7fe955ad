"""People are told once of an edit that cannot be used, and of a disk that is nearly full."""

from __future__ import annotations

from service.arrival.watchman import Watchman


class Told:
    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def tell(self, code: str, sentence: str, job_id: str | None = None) -> None:
        assert job_id is None
        self.messages.append((code, sentence))


def test_an_edit_that_cannot_be_used_is_told_once_without_a_word_of_it():
    told, edits = Told(), [(), ("CT pelvis",), ("CT pelvis",), ("CT pelvis", "x"), (), ("CT pelvis",)]
    watchman = Watchman(lambda: edits.pop(0), lambda: 1000, 100, told)
    while edits:
        watchman.look()
    assert [code for code, _ in told.messages] == ["config.invalid"] * 3
    assert "2 mistakes" in told.messages[1][1]
    assert "pelvis" not in str(told.messages)


def test_too_little_space_is_told_once_until_there_was_enough_again():
    told, free = Told(), [120, 99, 101, 99, 105, 50, 111, 90]
    watchman = Watchman(tuple, lambda: free.pop(0), 100, told)
    while free:
        watchman.look()
    assert [code for code, _ in told.messages] == ["spool.space-low"] * 2
