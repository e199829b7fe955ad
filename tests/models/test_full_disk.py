"""A full disk is told in a sentence, and what is half written goes."""

import errno

import pytest

from models.data_sets.data_set import DataSetInvalid
from models.full_disk import disk_errors


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.ENOSPC, "data.disk-full", "disk is full"),
        (errno.EDQUOT, "data.disk-full", "disk is full"),
        (errno.EACCES, "data.unwritable", "Permission denied"),
    ],
)
def test_an_error_of_the_disk_becomes_a_refusal(tmp_path, number, code, said):
    half = tmp_path / "half"
    half.write_text("some")
    with pytest.raises(DataSetInvalid, match=said) as refused:
        with disk_errors(DataSetInvalid, "data", half, tmp_path / "never begun"):
            raise OSError(number, {errno.EACCES: "Permission denied"}.get(number, "full"))
    assert refused.value.code == code
    assert not half.exists()


def test_other_errors_pass_and_good_files_stay(tmp_path):
    file = tmp_path / "whole"
    with disk_errors(DataSetInvalid, "data", file):
        file.write_text("x")
    with pytest.raises(KeyError), disk_errors(DataSetInvalid, "data", file):
        raise KeyError
    assert file.exists()
