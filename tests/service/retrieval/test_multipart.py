"""Multipart answers in chunks of any size, and those that are none."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.retrieval.multipart import MultipartInvalid, boundary_of, parts


def document(bodies, *, preamble=b"", headers=b"Content-Type: application/dicom\r\n", end=b"--\r\n"):
    said = b"".join(b"\r\n--b0\r\n" + headers + b"\r\n" + body for body in bodies)
    return preamble + said.removeprefix(b"\r\n" if not preamble else b"") + b"\r\n--b0" + end


def read_in(data, size):
    stream = io.BytesIO(data)
    return lambda most: stream.read(min(size, most))


@given(
    bodies=st.lists(st.binary(max_size=60).filter(lambda body: b"--b0" not in body), min_size=1, max_size=5),
    size=st.integers(1, 40),
    preamble=st.sampled_from([b"", b"to be passed over"]),
    headers=st.sampled_from([b"", b"Content-Type: application/dicom\r\n", b"A: 1\r\nB: 2\r\n"]),
)
def test_every_part_comes_whole(bodies, size, preamble, headers):
    data = document(bodies, preamble=preamble, headers=headers)
    assert list(parts(read_in(data, size), b"b0", 100)) == bodies


@pytest.mark.parametrize("cut", [1, 10, 60, -1, -6])
def test_one_that_breaks_off_is_told_from_one_that_ends(cut):
    data = document([b"x" * 50, b"y" * 50])
    with pytest.raises(MultipartInvalid):
        list(parts(read_in(data[:cut] if cut > 0 else data[: len(data) + cut - 2], 7), b"b0", 100))


def test_a_part_that_is_too_long_is_not_read_to_its_end():
    read = []

    def endless(most):
        read.append(most)
        return b"z" * most

    begun = io.BytesIO(b"--b0\r\n\r\n")
    with pytest.raises(MultipartInvalid):
        list(parts(lambda most: begun.read(most) or endless(most), b"b0", 1 << 20))
    assert sum(read) < 4 << 20


@pytest.mark.parametrize(
    "said", ["", "application/dicom", "multipart/related", "multipart/related; boundary=" + "b" * 300]
)
def test_what_names_no_boundary(said):
    with pytest.raises(MultipartInvalid):
        boundary_of(said)


def test_a_boundary_may_stand_in_quotes():
    assert boundary_of('multipart/related; type="application/dicom"; boundary="a b"') == b"a b"
