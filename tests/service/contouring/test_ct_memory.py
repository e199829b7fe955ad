"""The memory of one CT serves the next, and never while somebody still looks at the first."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from analytic_bundle import small_grid

from service.contouring import ct_memory
from service.contouring.ct_memory import CtMemory, KeptMemory
from service.contouring.model_link import array_in, mapped

INT16, FLOAT32 = np.dtype(np.int16), np.dtype(np.float32)
GRID, LARGER = small_grid(3), small_grid(5)


@pytest.fixture
def kept() -> Iterator[KeptMemory]:
    kept = KeptMemory()
    yield kept
    if kept._kept is not None:
        kept._kept.close()


def written(number: float, seen: list[np.ndarray] | None = None):
    """Fills a CT with one number; ``seen`` is given the array."""

    def fill(hu: np.ndarray) -> None:
        hu[...] = number
        if seen is not None:
            seen.append(hu)

    return fill


def as_a_model_reads_it(memory: CtMemory, grid=GRID, dtype=INT16) -> np.ndarray:
    return array_in(mapped(memory.descriptor, writable=False), grid.shape_zyx, dtype)


def test_memory_that_is_filled_copies_itself_into_an_array():
    wanted = np.arange(np.prod(GRID.shape_zyx), dtype=np.int16).reshape(GRID.shape_zyx)
    memory = CtMemory.filled(lambda hu: np.copyto(hu, wanted), GRID, INT16)
    found = np.zeros_like(wanted)
    memory(found)
    memory.close()
    assert (found == wanted).all()


def test_the_next_ct_is_written_where_the_last_one_was(kept):
    first = kept.filled(written(1), GRID, INT16)
    kept.give_back(first)
    second = kept.filled(written(2), GRID, INT16)
    assert second is first
    assert (as_a_model_reads_it(second) == 2).all()
    second.close()


@pytest.mark.parametrize("part", [lambda hu: hu, lambda hu: hu[1:, ::2], lambda hu: memoryview(hu[0])])
def test_a_ct_that_somebody_looks_at_stays_as_it_is(kept, part):
    seen: list[np.ndarray] = []
    first = kept.filled(written(1, seen), GRID, INT16)
    looked_at = part(seen.pop())
    kept.give_back(first)
    second = kept.filled(written(2), GRID, INT16)
    assert second is not first
    assert (np.asarray(looked_at) == 1).all()
    assert (as_a_model_reads_it(second) == 2).all()
    kept.give_back(second)  # takes the place of the first
    assert (np.asarray(looked_at) == 1).all()
    del looked_at
    assert kept.filled(written(3), GRID, INT16) is second
    second.close()


def test_two_cts_at_the_same_time_have_a_memory_each(kept):
    kept.give_back(kept.filled(written(0), GRID, INT16))
    first, second = kept.filled(written(1), GRID, INT16), kept.filled(written(2), GRID, INT16)
    assert (as_a_model_reads_it(first) == 1).all()
    assert (as_a_model_reads_it(second) == 2).all()
    for each in (first, second):
        each.close()


@pytest.mark.parametrize("dtype", [INT16, FLOAT32])
def test_a_smaller_ct_fits_and_a_larger_one_gets_its_own(kept, dtype):
    large = kept.filled(written(1), LARGER, FLOAT32)
    kept.give_back(large)
    small = kept.filled(written(-1000.0), GRID, dtype)
    assert small is large
    assert (as_a_model_reads_it(small, GRID, dtype) == -1000).all()
    found = np.zeros(GRID.shape_zyx, dtype)
    small(found)
    assert (found == -1000).all()
    kept.give_back(small)
    larger = kept.filled(written(2), small_grid(9), FLOAT32)
    assert larger is not small
    assert (as_a_model_reads_it(larger, small_grid(9), FLOAT32) == 2).all()
    kept.give_back(larger)
    assert kept.filled(written(3), LARGER, FLOAT32) is larger
    larger.close()


def test_the_memory_of_a_large_ct_goes_back_to_the_system(kept, monkeypatch):
    small = kept.filled(written(1), GRID, INT16)
    large = CtMemory.filled(written(2), LARGER, INT16)
    monkeypatch.setattr(ct_memory, "MOST_KEPT_BYTES", small.held_bytes)
    kept.give_back(small)
    kept.give_back(large)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(large.descriptor)
    assert kept.filled(written(3), GRID, INT16) is small
    small.close()


def test_of_a_ct_that_cannot_be_decoded_nothing_is_kept(kept):
    first = kept.filled(written(1), GRID, INT16)
    kept.give_back(first)

    def damaged(hu: np.ndarray) -> None:
        hu[0] = 7
        message = "pixel data end early"
        raise ValueError(message)

    with pytest.raises(ValueError, match="end early"):
        kept.filled(damaged, GRID, INT16)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first.descriptor)
    second = kept.filled(written(2), GRID, INT16)
    assert (as_a_model_reads_it(second) == 2).all()
    second.close()
