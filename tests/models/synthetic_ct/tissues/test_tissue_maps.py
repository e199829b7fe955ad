import lzma

import numpy as np
import pytest

from models.cards.catalog import find_bundle
from models.data_sets.case_file import DataSetInvalid
from models.synthetic_ct.tissues.tissue_maps import (
    CLASS_COUNT,
    CLASSES,
    DELIVERED,
    Tissue,
    TissueMap,
    class_table,
    mirror_table,
    read_left_out,
    read_tissue_map,
    read_tissue_maps,
    tissue_map_names,
    write_tissue_maps,
)


@pytest.fixture
def file(tmp_path):
    shape = (2, 3, 4)
    arrays = {
        name: np.frombuffer(lzma.compress(np.full(shape, code, np.uint8).tobytes()), np.uint8)
        for code, name in enumerate(
            ["AFc", "word_0014__AFc", "word_0017__AFc", "pytg43_pdr__AFc", "word_0016__AFc"]
        )
    }
    np.savez(tmp_path / "maps.npz", shape=np.array(shape), **arrays)
    return tmp_path / "maps.npz"


def test_held_out_patients_and_unusable_sources_are_never_read_for_training(file):
    assert [m.source for m in read_tissue_maps(file)] == ["AFc", "word_0014__AFc", "word_0016__AFc"]


def test_more_patients_can_be_left_out_and_are_what_evaluation_reads(file):
    trained = [m.source for m in read_tissue_maps(file, ["word_0014"])]
    kept = [m.source for m in read_left_out(file, ["word_0014"])]
    assert trained == ["AFc", "word_0016__AFc"]
    assert kept == ["word_0014__AFc", "word_0017__AFc"]


def test_a_map_comes_back_as_it_was_written_and_knows_its_patient(file):
    maps = list(read_tissue_maps(file))
    assert [m.patient for m in maps] == ["AFc", "word_0014", "word_0016"]
    assert (maps[1].codes == 1).all()
    assert maps[1].codes.shape == (2, 3, 4)


def test_mirroring_twice_changes_nothing_and_once_changes_sides():
    table = mirror_table()
    assert (table[table] == np.arange(256)).all()
    assert table[Tissue.FEMUR_HEAD_L] == Tissue.FEMUR_HEAD_R
    assert table[Tissue.BLADDER] == Tissue.BLADDER


def test_classes_are_those_of_the_shipped_bundle():
    outputs = find_bundle("pelvis-ct@2.0").outputs
    assert outputs == ("background", *(name for name, _ in CLASSES.values()))
    assert len(outputs) == CLASS_COUNT
    assert set(DELIVERED) == set(find_bundle("pelvis-ct@2.0").structures)


def test_every_tissue_belongs_to_at_most_one_class():
    table = class_table()
    assert sum(len(tissues) for _, tissues in CLASSES.values()) == int((table > 0).sum())
    assert table[Tissue.VEIN] == table[Tissue.ARTERY] == 12
    assert table[Tissue.FEMUR_SHAFT_L] == 0


def test_a_file_that_is_written_is_read_back_one_map_at_a_time(tmp_path):
    drawn = np.random.default_rng(1).integers(0, 35, (4, 5, 6)).astype(np.uint8)
    write_tissue_maps(tmp_path / "m.npz", [TissueMap("a__b", drawn), TissueMap("c", drawn[::-1].copy())])
    assert tissue_map_names(tmp_path / "m.npz") == ("a__b", "c")
    assert (read_tissue_map(tmp_path / "m.npz", "c").codes == drawn[::-1]).all()
    assert [m.source for m in read_tissue_maps(tmp_path / "m.npz")] == ["a__b", "c"]
    assert [file.name for file in tmp_path.iterdir()] == ["m.npz"]


def test_a_file_that_holds_no_maps_or_damaged_ones_is_refused(tmp_path, file):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", something=np.zeros(3))
    np.savez(tmp_path / "damaged.npz", shape=np.array((2, 2, 2)), a=np.zeros(9, np.uint8))
    for name, code in (
        ("text", "maps.unreadable"),
        ("other", "maps.unreadable"),
        ("absent", "maps.unreadable"),
    ):
        with pytest.raises(DataSetInvalid) as refused:
            tissue_map_names(tmp_path / f"{name}.npz")
        assert refused.value.code == code
    with pytest.raises(DataSetInvalid) as refused:
        read_tissue_map(tmp_path / "damaged.npz", "a")
    assert refused.value.code == "maps.damaged"
    with pytest.raises(KeyError):
        read_tissue_map(file, "word_9999")
