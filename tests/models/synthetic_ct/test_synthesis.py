import numpy as np
import pytest

from models.data_sets.data_set import DataSet, DataSetInvalid
from models.synthetic_ct.field_of_view import FieldOfView
from models.synthetic_ct.phantoms.phantom import pelvic_phantom
from models.synthetic_ct.structure_extents import EXTENTS
from models.synthetic_ct.synthesis import Source, Synthesis, map_sources, phantom_sources, writer_of
from models.synthetic_ct.tissues.tissue_maps import Tissue, TissueMap, write_tissue_maps
from models.synthetic_ct.whole_scan import Voxels
from models.volume import CtVolume

COARSE = Voxels(20.0, 24.0)


def sources(count):
    """Patients whose scans are ten voxels of chance."""

    def scan(voxels, chance):
        grid = FieldOfView((0.0, 0.0, 0.0), (20.0, 100.0, 24.0)).grid(20.0, 24.0, np.zeros(3))
        hu = chance.normal(*grid.shape_zyx).mul(100).round().numpy().astype(np.int16)
        return CtVolume(hu, grid), {"Bladder": hu > 0}

    return [Source(f"q{k}", lambda: scan) for k in range(count)]


def nothing(done, total, name):
    """A report that nobody reads."""


def made(folder, synthesis):
    writer = writer_of(folder, synthesis, "chance")
    synthesis.write(writer, nothing)
    writer.close()
    return DataSet.open(folder)


@pytest.fixture(scope="module")
def maps_file(tmp_path_factory):
    codes = np.zeros((120, 165, 220), np.uint8)
    codes[:, 50:150, 30:190] = Tissue.MUSCLE
    codes[40:90, 70:110, 90:130] = Tissue.BLADDER
    names = ["word_0014__AFc", "word_0014__P001", "word_0017__AFc", "pytg43_pdr__AFc", "AFc"]
    file = tmp_path_factory.mktemp("maps") / "maps.npz"
    write_tissue_maps(file, [TissueMap(name, codes) for name in names])
    return file


def test_a_data_set_of_phantoms_has_what_is_known_of_each(tmp_path):
    data = made(tmp_path / "data", Synthesis(phantom_sources(1004, 1100), [], 3, 3, COARSE))
    assert data.names() == ("p001004-1", "p001005-1", "p001006-1")
    assert set(data.structures) == set(EXTENTS)
    assert {data.entry(name).part for name in data.names()} == {"train", "validation", "test"}
    for name in data.names():
        case = data.read(name)
        assert set(case.masks) == set(pelvic_phantom(int(case.patient[1:])).structures)
        assert case.volume.grid.column_spacing_mm == 20.0
        assert case.masks["Sacrum"].any() or case.volume.grid.shape_zyx[0] < 8
    assert "no clinical evidence" in data.contents.source


def test_of_men_no_ctv_is_known_and_that_they_have_no_uterus(tmp_path):
    man = next(seed for seed in range(1000, 1040) if not pelvic_phantom(seed).plan.female)
    data = made(tmp_path / "data", Synthesis(phantom_sources(man, man + 1), [], 1, 3, COARSE))
    assert not {"CTV", "CTVp", "CTVn"} & set(data.structures)
    assert not data.read(data.names()[0]).masks["Uterus"].any()


def test_the_same_seed_makes_the_same_data_set_and_a_larger_one_begins_with_it(tmp_path):
    few, more = (Synthesis(sources(5), [], n, 3, COARSE) for n in (2, 3))
    other = Synthesis(sources(5), [], 2, 4, COARSE)
    first = made(tmp_path / "a", few)
    assert made(tmp_path / "b", few).fingerprint == first.fingerprint
    larger, different = made(tmp_path / "c", more), made(tmp_path / "d", other)
    for name in first.names():
        assert larger.entry(name).sha256 == first.entry(name).sha256
        assert different.entry(name).sha256 != first.entry(name).sha256


def test_what_was_interrupted_is_gone_on_with(tmp_path):
    synthesis = Synthesis(sources(5), [], 3, 3, COARSE)
    whole = made(tmp_path / "whole", synthesis)

    class Killed(BaseException):
        pass

    def dies(done, total, name):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        synthesis.write(writer_of(tmp_path / "cut", synthesis, "chance"), dies)
    written = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "cut" / "cases").iterdir()}
    assert len(written) == 2
    assert made(tmp_path / "cut", synthesis).fingerprint == whole.fingerprint
    for file, time in written.items():
        assert (tmp_path / "cut" / "cases" / file).stat().st_mtime_ns == time


def test_an_interrupted_data_set_of_another_seed_is_not_gone_on_with(tmp_path):
    synthesis = Synthesis(sources(5), [], 2, 3, COARSE)
    writer_of(tmp_path / "data", synthesis, "chance")
    other = Synthesis(sources(5), [], 2, 4, COARSE)
    with pytest.raises(DataSetInvalid) as refused:
        writer_of(tmp_path / "data", other, "chance")
    assert refused.value.code == "data.other-unfinished"


def test_phantoms_that_are_never_trained_on_are_refused_but_in_a_test_set(tmp_path):
    with pytest.raises(DataSetInvalid, match="tests and evaluation"):
        phantom_sources(899_999, 900_001)
    some = phantom_sources(899_999, 900_001, reserved=True)
    parts = Synthesis(some, [], 2, 3, COARSE, {"train": 1.0}).parts()
    assert parts == {"p899999": "train", "p900000": "test"}
    assert set(Synthesis(some, [], 2, 3, COARSE, test_set=True).parts().values()) == {"test"}


def test_patients_of_tissue_maps_are_kept_together_and_the_held_out_ones_tested_on(maps_file):
    synthesis = Synthesis([], map_sources(maps_file), 8, 3, COARSE, {"train": 0.5, "validation": 0.5})
    names = [name for _, name in synthesis.plan()]
    assert sorted(names) == [
        "AFc-1", "AFc-2", "word_0014-1", "word_0014-2", "word_0014-3", "word_0014-4", "word_0017-1", "word_0017-2",
    ]  # fmt: skip
    parts = synthesis.parts()
    assert parts["word_0017"] == "test"
    assert {parts["word_0014"], parts["AFc"]} == {"train", "validation"}
    order = [id(source) for source, _ in synthesis.plan()]
    assert order == sorted(order, key=order.index)  # each map is opened once


def test_tissue_maps_and_phantoms_are_mixed_as_told(maps_file, tmp_path, monkeypatch):
    low = FieldOfView((-200.0, -150.0, -100.0), (200.0, 150.0, 100.0))
    monkeypatch.setattr(FieldOfView, "drawn", classmethod(lambda cls, chance: low))
    synthesis = Synthesis(sources(2), map_sources(maps_file), 4, 3, COARSE, phantom_share=0.5)
    data = made(tmp_path / "data", synthesis)
    assert {data.entry(name).patient for name in data.names()} == {"q0", "q1", "word_0014"}
    assert data.entry("word_0014-1").structures == ("Bladder",)
    assert data.read("word_0014-2").masks["Bladder"].any()


def test_nothing_to_make_ct_of_is_refused():
    with pytest.raises(DataSetInvalid) as refused:
        Synthesis([], [], 1, 1, COARSE)
    assert refused.value.code == "synthesis.no-source"
