"""A data set: whole or unfinished, never something between; every case is the one that was written."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from models.data_sets import writer as data_set_writer
from models.data_sets.data_set import Case, DataSet, DataSetInvalid, DataSetWriter, split
from models.volume import CtVolume, Grid

STRUCTURES = ("Bladder", "Rectum", "Sphincter")


def oblique_grid(slices=3, rows=4, columns=5):
    """Slices at 0, 3, 6, then 11 mm; rows run along (0, 0.6, 0.8), columns along x."""
    offsets = np.array([0.0, 3.0, 6.0, 11.0])[:slices]
    normal = np.array([0.0, -0.8, 0.6])
    return Grid(
        np.array([-1.5, 2.0, 7.25]) + offsets[:, None] * normal,
        np.array([1.5, 0.0, 0.0]),
        np.array([0.0, 0.6, 0.8]) * 2.5,
        rows,
        columns,
    )


def case(name="p0001-1", patient="p0001", hu=None, masks=None):
    grid = oblique_grid()
    values = np.arange(60, dtype=np.int16).reshape(grid.shape_zyx) - 1000 if hu is None else hu
    bladder = np.zeros(grid.shape_zyx, dtype=bool)
    bladder[1, 1:3, 2:4] = True
    default = {"Bladder": bladder, "Rectum": np.zeros(grid.shape_zyx, dtype=bool)}
    return Case(name, patient, CtVolume(values, grid), default if masks is None else masks)


def written(folder, *cases_and_parts):
    writer = DataSetWriter(
        folder, STRUCTURES, "drawn on paper", licence="CC0-1.0", extents={"Rectum": "S3 down"}
    )
    for one, part in cases_and_parts or ((case(), "train"),):
        writer.add(one, part)
    writer.close()
    return DataSet.open(folder)


def test_a_case_comes_back_as_it_went_in(tmp_path):
    went_in = case()
    data = written(tmp_path / "data", (went_in, "train"))
    came_back = data.read("p0001-1")
    assert (came_back.name, came_back.patient) == ("p0001-1", "p0001")
    assert came_back.volume.hu.dtype == np.int16
    np.testing.assert_array_equal(came_back.volume.hu, went_in.volume.hu)
    for attribute in ("slice_origins_lps_mm", "column_step_lps_mm", "row_step_lps_mm"):
        np.testing.assert_array_equal(
            getattr(came_back.volume.grid, attribute), getattr(went_in.volume.grid, attribute)
        )
    assert list(came_back.masks) == ["Bladder", "Rectum"], "what nobody drew stays unknown"
    assert np.argwhere(came_back.masks["Bladder"]).tolist() == [[1, 1, 2], [1, 1, 3], [1, 2, 2], [1, 2, 3]]
    assert came_back.masks["Rectum"].dtype == bool
    assert not came_back.masks["Rectum"].any(), "known to be absent"


def test_masks_may_overlap_and_a_case_may_have_none(tmp_path):
    everything = np.ones((3, 4, 5), dtype=bool)
    data = written(
        tmp_path / "data",
        (case("p0001-1", masks={"Bladder": everything, "Rectum": everything}), "train"),
        (case("p0002-1", "p0002", masks={}), "test"),
    )
    assert data.read("p0001-1").masks["Bladder"].all()
    assert data.read("p0001-1").masks["Rectum"].all()
    assert data.read("p0002-1").masks == {}


def test_ct_numbers_that_are_not_whole_are_rounded_and_end_at_int16(tmp_path):
    hu = np.full((3, 4, 5), 40.4, dtype=np.float32)
    hu[0, 0, :3] = (-0.6, 99_999.0, -99_999.0)
    data = written(tmp_path / "data", (case(hu=hu), "train"))
    assert data.read("p0001-1").volume.hu[0, 0].tolist() == [-1, 32_767, -32_768, 40, 40]


def test_what_is_in_it_is_told_without_reading_a_case(tmp_path):
    data = written(
        tmp_path / "data",
        (case("p0002-1", "p0002"), "validation"),
        (case("p0001-2"), "train"),
        (case("p0001-1"), "train"),
    )
    assert data.structures == ("Bladder", "Rectum"), "no case knows the sphincter"
    assert data.contents.structures["Rectum"] == "S3 down"
    assert (data.contents.source, data.contents.licence) == ("drawn on paper", "CC0-1.0")
    assert data.names() == ("p0001-1", "p0001-2", "p0002-1")
    assert data.names("train") == ("p0001-1", "p0001-2")
    assert data.names("test") == ()
    assert data.entry("p0002-1").structures == ("Bladder", "Rectum")
    with pytest.raises(KeyError):
        data.read("p0003-1")


def test_the_fingerprint_follows_from_the_cases_and_not_from_their_order(tmp_path):
    one, other = (case("p0001-1"), "train"), (case("p0002-1", "p0002"), "test")
    fingerprint = written(tmp_path / "a", one, other).fingerprint
    assert written(tmp_path / "b", other, one).fingerprint == fingerprint
    changed = (case("p0002-1", "p0002", hu=np.zeros((3, 4, 5), np.int16)), "test")
    assert written(tmp_path / "c", one, changed).fingerprint != fingerprint
    assert len(fingerprint) == 64


def test_a_changed_case_is_refused_before_it_is_used(tmp_path):
    data = written(tmp_path / "data")
    file = tmp_path / "data" / "cases" / "p0001-1.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataSetInvalid) as refused:
        data.read("p0001-1")
    assert refused.value.code == "data.case-hash"
    with pytest.raises(DataSetInvalid, match="SHA-256"):
        data.check()


def test_a_file_with_a_pickle_is_refused_even_if_its_hash_fits(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    folder = tmp_path / "data"
    written(folder)
    file = folder / "cases" / "p0001-1.npz"
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        with archive.open("hu.npy", "w") as member:
            np.lib.format.write_array(member, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(DataSetInvalid) as refused:
        reseal(folder).read("p0001-1")
    assert refused.value.code == "data.case-unreadable"
    assert not (tmp_path / "sprung").exists()


def reseal(folder):
    """Write the hashes of the files as they are now, as somebody with bad intentions would."""
    import hashlib

    from models.data_sets.contents import read_contents

    file = folder / "data.yaml"
    content = yaml.safe_load(file.read_text())
    for name, entry in content["cases"].items():
        raw = (folder / "cases" / f"{name}.npz").read_bytes()
        entry |= {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    file.write_text(yaml.safe_dump(content))
    content["fingerprint"] = read_contents(folder)[0].fingerprint()
    file.write_text(yaml.safe_dump(content))
    return DataSet.open(folder)


def test_a_table_of_contents_that_was_edited_is_refused(tmp_path):
    written(tmp_path / "data")
    file = tmp_path / "data" / "data.yaml"
    file.write_text(file.read_text().replace("part: train", "part: test"))
    with pytest.raises(DataSetInvalid) as refused:
        DataSet.open(tmp_path / "data")
    assert refused.value.code == "data.fingerprint"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "data.unreadable"),
        ("[1, 2]", "data.unreadable"),
        ("{", "data.unreadable"),
        ("format: delineate data set 99\n", "data.unreadable"),
        ("format: delineate data set 1\ncases: {}\n", "data.unreadable"),
        ("!!python/object/apply:os.mkdir [sprung]", "data.unreadable"),
    ],
)
def test_a_table_of_contents_that_is_none_is_refused(tmp_path, content, code):
    (tmp_path / "data.yaml").write_text(content)
    with pytest.raises(DataSetInvalid) as refused:
        DataSet.open(tmp_path)
    assert refused.value.code == code


def test_a_case_name_that_leads_out_of_the_folder_is_refused(tmp_path):
    written(tmp_path / "data")
    file = tmp_path / "data" / "data.yaml"
    file.write_text(file.read_text().replace("p0001-1:", "../p0001-1:"))
    with pytest.raises(DataSetInvalid) as refused:
        DataSet.open(tmp_path / "data")
    assert refused.value.code == "data.unreadable"


def test_a_missing_or_shortened_file_is_told_on_opening(tmp_path):
    written(tmp_path / "data")
    file = tmp_path / "data" / "cases" / "p0001-1.npz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataSetInvalid) as refused:
        DataSet.open(tmp_path / "data")
    assert refused.value.code == "data.case-missing"
    file.unlink()
    with pytest.raises(DataSetInvalid, match="p0001-1"):
        DataSet.open(tmp_path / "data")


def test_a_folder_without_a_data_set_is_told_from_an_unfinished_one(tmp_path):
    with pytest.raises(DataSetInvalid) as refused:
        DataSet.open(tmp_path)
    assert refused.value.code == "data.missing"
    DataSetWriter(tmp_path / "data", STRUCTURES, "begun").add(case(), "train")
    with pytest.raises(DataSetInvalid) as refused:
        DataSet.open(tmp_path / "data")
    assert refused.value.code == "data.unfinished"


def test_an_unfinished_set_is_gone_on_with(tmp_path):
    first = DataSetWriter(tmp_path / "data", STRUCTURES, "twice")
    first.add(case("p0001-1"), "train")
    (tmp_path / "data" / "cases" / "p0009-1.part").write_bytes(b"half a case")
    (tmp_path / "data" / "cases" / "p0008-1.npz").write_bytes(b"renamed, but not yet noted")
    with (tmp_path / "data" / "unfinished.jsonl").open("ab") as journal:
        journal.write(b'\n{"name": "p0007-1", "pat')
    second = DataSetWriter(tmp_path / "data", STRUCTURES, "twice")
    assert second.names == ("p0001-1",)
    second.add(case("p0002-1", "p0002"), "test")
    third = DataSetWriter(tmp_path / "data", STRUCTURES, "twice")
    assert third.names == ("p0001-1", "p0002-1"), "the torn line takes no other with it"
    third.close()
    whole = written(tmp_path / "whole", (case("p0001-1"), "train"), (case("p0002-1", "p0002"), "test"))
    assert sorted(one.name for one in (tmp_path / "data").rglob("*")) == [
        "cases", "data.yaml", "p0001-1.npz", "p0002-1.npz",
    ]  # fmt: skip
    assert DataSet.open(tmp_path / "data").read("p0002-1").volume.hu[0, 0, 0] == -1000
    assert whole.names() == DataSet.open(tmp_path / "data").names()


def test_a_case_that_changed_since_the_interruption_is_made_again(tmp_path):
    DataSetWriter(tmp_path / "data", STRUCTURES, "twice").add(case(), "train")
    (tmp_path / "data" / "cases" / "p0001-1.npz").write_bytes(b"x")
    again = DataSetWriter(tmp_path / "data", STRUCTURES, "twice")
    assert again.names == ()
    again.add(case(), "train")
    again.close()
    DataSet.open(tmp_path / "data").check()


def test_an_unfinished_set_that_was_begun_differently_is_left_alone(tmp_path):
    DataSetWriter(tmp_path / "data", STRUCTURES, "one source").add(case(), "train")
    with pytest.raises(DataSetInvalid) as refused:
        DataSetWriter(tmp_path / "data", STRUCTURES, "another source")
    assert refused.value.code == "data.other-unfinished"
    assert (tmp_path / "data" / "cases" / "p0001-1.npz").exists()


@pytest.mark.parametrize("moment", ["before the rename", "before the note", "before the table of contents"])
def test_a_kill_at_any_moment_leaves_it_unfinished_and_resumable(tmp_path, moment):
    """SIGKILL in another process at each of the moments when something lies half done."""
    script = f"""
import os, signal, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
from pathlib import Path
import test_data_set as here
from models.data_sets.writer import DataSetWriter
folder = Path({str(tmp_path / "data")!r})
writer = DataSetWriter(folder, here.STRUCTURES, "killed")
writer.add(here.case("p0001-1"), "train")
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
if {moment!r} == "before the note":
    writer._note = die
else:
    Path.replace = die
writer.close() if "table" in {moment!r} else writer.add(here.case("p0002-1", "p0002"), "test")
"""
    died = subprocess.run([sys.executable, "-c", script], check=False)
    assert died.returncode == -signal.SIGKILL
    with pytest.raises(DataSetInvalid) as refused:
        DataSet.open(tmp_path / "data")
    assert refused.value.code == "data.unfinished"
    writer = DataSetWriter(tmp_path / "data", STRUCTURES, "killed")
    assert writer.names == ("p0001-1",)
    writer.close()
    assert DataSet.open(tmp_path / "data").names() == ("p0001-1",)


def test_a_full_disk_is_told_in_a_sentence_and_loses_one_case(tmp_path, monkeypatch):
    writer = DataSetWriter(tmp_path / "data", STRUCTURES, "full")
    writer.add(case("p0001-1"), "train")

    def full(stream, _case):
        stream.write(b"some")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(data_set_writer, "write_case", full)
        with pytest.raises(DataSetInvalid, match="disk is full") as refused:
            writer.add(case("p0002-1", "p0002"), "train")
    assert refused.value.code == "data.disk-full"
    assert [one.name for one in (tmp_path / "data" / "cases").iterdir()] == ["p0001-1.npz"]
    writer.add(case("p0002-1", "p0002"), "train")
    writer.close()
    DataSet.open(tmp_path / "data").check()


def test_a_folder_that_cannot_be_written_to_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataSetInvalid) as refused:
        DataSetWriter(tmp_path / "file" / "data", STRUCTURES, "nowhere")
    assert refused.value.code == "data.unwritable"


@pytest.mark.parametrize(
    ("second", "part", "code"),
    [
        (case("p0001-1"), "train", "data.case-twice"),
        (case("p0001-2"), "test", "data.patient-in-two-parts"),
        (
            case("p0002-1", "p0002", masks={"Heart": np.zeros((3, 4, 5), bool)}),
            "train",
            "data.structure-unknown",
        ),
    ],
)
def test_what_does_not_fit_the_set_is_refused(tmp_path, second, part, code):
    writer = DataSetWriter(tmp_path / "data", STRUCTURES, "strict")
    writer.add(case("p0001-1"), "train")
    with pytest.raises(DataSetInvalid) as refused:
        writer.add(second, part)
    assert refused.value.code == code


def test_nothing_of_others_is_written_over(tmp_path):
    written(tmp_path / "data")
    with pytest.raises(DataSetInvalid) as refused:
        DataSetWriter(tmp_path / "data", STRUCTURES, "again")
    assert refused.value.code == "data.exists"
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear")
    with pytest.raises(DataSetInvalid) as refused:
        DataSetWriter(tmp_path / "used", STRUCTURES, "again")
    assert refused.value.code == "data.folder-in-use"
    with pytest.raises(DataSetInvalid) as refused:
        DataSetWriter(tmp_path / "new", STRUCTURES, "no case").close()
    assert refused.value.code == "data.empty"


def test_parts_may_be_drawn_at_the_end(tmp_path):
    writer = DataSetWriter(tmp_path / "data", STRUCTURES, "drawn late")
    for name, patient in (("p0001-1", "p0001"), ("p0001-2", "p0001"), ("p0002-1", "p0002")):
        writer.add(case(name, patient), "train")
    writer.close({"p0001": "test"})
    data = DataSet.open(tmp_path / "data")
    assert data.names("test") == ("p0001-1", "p0001-2")
    assert data.names("train") == ("p0002-1",)


def test_a_set_without_a_case_can_be_discarded_and_one_with_cases_not(tmp_path):
    empty = DataSetWriter(tmp_path / "empty", STRUCTURES, "nothing")
    empty.discard()
    assert not (tmp_path / "empty").exists()
    begun = DataSetWriter(tmp_path / "begun", STRUCTURES, "something")
    begun.add(case(), "train")
    begun.discard()
    assert DataSetWriter(tmp_path / "begun", STRUCTURES, "something").names == ("p0001-1",)


def test_a_case_that_contradicts_itself_cannot_be_made():
    with pytest.raises(ValueError, match="names no case"):
        case("../p0001")
    with pytest.raises(ValueError, match="Bladder"):
        case(masks={"Bladder": np.zeros((3, 4, 4), bool)})
    with pytest.raises(ValueError, match="uint8"):
        case(masks={"Bladder": np.zeros((3, 4, 5), np.uint8)})


def test_the_journal_is_lines_that_a_person_can_read(tmp_path):
    DataSetWriter(tmp_path, STRUCTURES, "plain").add(case(), "train")
    lines = [json.loads(line) for line in (tmp_path / "unfinished.jsonl").read_text().split("\n") if line]
    assert lines[0]["source"] == "plain"
    assert (lines[1]["name"], lines[1]["part"]) == ("p0001-1", "train")


@pytest.mark.parametrize(
    ("n", "shares", "counts"),
    [
        (10, {"train": 0.7, "validation": 0.2, "test": 0.1}, (7, 2, 1)),
        (10, {"train": 7, "validation": 2, "test": 1}, (7, 2, 1)),
        (7, {"train": 0.7, "validation": 0.15, "test": 0.15}, (5, 1, 1)),
        (3, {"train": 0.9, "validation": 0.05, "test": 0.05}, (1, 1, 1)),
        (2, {"train": 0.9, "validation": 0.05, "test": 0.05}, (1, 1, 0)),
        (1, {"train": 0.9, "validation": 0.05, "test": 0.05}, (1, 0, 0)),
        (5, {"test": 1.0}, (0, 0, 5)),
        (0, {"train": 1.0}, (0, 0, 0)),
    ],
)
def test_parts_get_their_share_of_the_patients(n, shares, counts):
    parts = split([f"p{k}" for k in range(n)], 1, shares)
    assert tuple(list(parts.values()).count(part) for part in ("train", "validation", "test")) == counts


def test_a_split_follows_from_seed_and_patients_alone():
    patients = [f"p{k:04d}" for k in range(40)]
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    parts = split(patients, 7, shares)
    assert split([*reversed(patients), "p0003"], 7, shares) == parts
    assert split(patients, 8, shares) != parts


@pytest.mark.parametrize(
    "shares", [{}, {"train": 0.0}, {"train": -1.0, "test": 2.0}, {"train": 1.0, "trial": 1.0}]
)
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="shares"):
        split(["p1"], 1, shares)
