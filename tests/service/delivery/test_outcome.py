"""Every status has one meaning."""

from __future__ import annotations

import pytest

from service.delivery.outcome import Kind, of_rejection, of_status


@pytest.mark.parametrize(
    ("status", "kind", "alarm"),
    [
        (0x0000, Kind.DONE, False),
        (0x0111, Kind.DONE, False),
        (0xB000, Kind.DONE_WITH_WARNING, True),
        (0xB006, Kind.DONE_WITH_WARNING, False),
        (0xB007, Kind.DONE_WITH_WARNING, False),
        (0xB123, Kind.DONE_WITH_WARNING, True),
        (0x0116, Kind.DONE_WITH_WARNING, True),
        (0xA700, Kind.RETRY, False),
        (0xA7FF, Kind.RETRY, False),
        (0x0110, Kind.RETRY, False),
        (0x0213, Kind.RETRY, False),
        (0xA900, Kind.DEAD, False),
        (0xA9FF, Kind.DEAD, False),
        (0xC000, Kind.DEAD, False),
        (0xCFFF, Kind.DEAD, False),
        (0x0122, Kind.DEAD, False),
        (0x0124, Kind.DEAD, False),
        (0x0117, Kind.DEAD, False),
        (0x0212, Kind.DEAD, False),
        (0xFF00, Kind.SLOW_RETRY, True),
        (0x1234, Kind.SLOW_RETRY, True),
    ],
)
def test_a_status_decides_what_happens_next(status: int, kind: Kind, alarm: bool) -> None:
    found = of_status(status)
    assert (found.kind, found.alarm, found.status) == (kind, alarm, status)
    assert found.stored == (kind in (Kind.DONE, Kind.DONE_WITH_WARNING))


def test_no_status_at_all_is_without_a_meaning() -> None:
    for status in range(0x10000):
        assert of_status(status).code.startswith("delivery.")


def test_only_success_warnings_and_a_duplicate_count_as_stored() -> None:
    stored = {status for status in range(0x10000) if of_status(status).stored}
    assert stored == {0, 1, 0x0107, 0x0111, 0x0116} | set(range(0xB000, 0xC000))


def test_a_failure_names_status_and_data_elements() -> None:
    sentence = of_status(0xC123, ["FrameOfReferenceUID"]).sentence
    assert sentence.endswith("(status C123h, data elements: FrameOfReferenceUID)")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ((1, 1, 3), "AE title; have it entered"),
        ((1, 1, 7), "correct `ae_title`"),
        ((2, 3, 2), "many associations"),
    ],
)
def test_a_rejection_says_what_to_do(reason: tuple[int, int, int], words: str) -> None:
    found = of_rejection(*reason)
    assert found.kind is Kind.SLOW_RETRY
    assert found.alarm
    assert words in found.sentence
