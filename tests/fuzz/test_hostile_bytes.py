"""Bytes that nobody well-meaning sends: every one is taken or refused with a code, and nothing else happens.

The long run with the same targets is ``make fuzz SECONDS=600``.
"""

from __future__ import annotations

import logging
import re
import resource
import time
from random import Random

import pytest
from bare_sender import ct_dataset, encoded
from fuzz.mutations import MUTATIONS, TEXTS, mutated
from fuzz.seeds import conversation_of
from fuzz.targets import House
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SEEDS = 12
BRIEFLY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The same inputs every time: what differs from run to run belongs into the long form."""

CODES = re.compile(
    r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)?|[0-9A-F]{4}( .{0,64})?|contoured|structure set|broken off"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "house"
    folder.mkdir()
    logging.disable(logging.CRITICAL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = House(folder)
    assert len(made.seeds) == SEEDS
    yield made
    made.close()
    logging.disable(logging.NOTSET)
    assert all(CODES.fullmatch(code) for code in made.outcomes), "every refusal has a code"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB


def test_every_seed_is_taken_as_it_is(house):
    for seed in house.seeds:
        house.outcomes.clear()
        house.instance(seed, seed.data)
        assert house.outcomes["0000"] == 1
        house.conversation(conversation_of(seed))
        assert house.outcomes["released"] == 1
    assert house.outcomes["structure set"] == 1


@BRIEFLY
@given(number=st.integers(0, SEEDS - 1), chance=st.integers(0, 1 << 32))
def test_a_data_set_is_stored_and_read_or_refused(house, number, chance):
    seed = house.seeds[number]
    house.instance(seed, mutated(seed.data, Random(chance)))


@BRIEFLY
@given(number=st.integers(0, SEEDS - 1), chance=st.integers(0, 1 << 32))
def test_a_file_is_read_or_refused(house, number, chance):
    house.file(mutated(house.seeds[number].as_file(), Random(chance)))


@BRIEFLY
@given(number=st.integers(0, SEEDS - 1), chance=st.integers(0, 1 << 32), noise=st.binary(max_size=64))
def test_a_conversation_ends_whatever_is_said(house, number, chance, noise):
    begun = time.monotonic()
    house.conversation(mutated(conversation_of(house.seeds[number]), Random(chance)) + noise)
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_each_kind_of_change_does_change_something(house, mutation):
    data = house.seeds[0].data
    assert any(mutation(bytearray(data), Random(k)) != data for k in range(20))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize(
    "tag", [0x00080018, 0x0020000D, 0x0020000E, 0x00080016, 0x00080060, 0x00200052, 0x00100020]
)
def test_no_text_becomes_a_path(house, text, tag):
    """Every UID and the words beside them, replaced by a path, a control character, markup: see House._inside."""
    data = encoded(ct_dataset())
    head = tag.to_bytes(4, "little")[2:] + tag.to_bytes(4, "little")[:2]
    at = data.index(head)
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    value = text + b" " * (len(text) % 2)
    changed = data[: at + 6] + len(value).to_bytes(2, "little") + value + data[at + 8 + length :]
    house.instance(house.seeds[0], changed)
