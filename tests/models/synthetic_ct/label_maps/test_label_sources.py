import json

import numpy as np
import pytest
import SimpleITK as sitk

from models.data_sets.case_file import DataSetInvalid
from models.synthetic_ct.label_maps import label_sources
from models.synthetic_ct.label_maps.completion import Completed
from models.synthetic_ct.label_maps.label_sources import Outcome, complete_all, template_named
from models.synthetic_ct.label_maps.patient_box import BOX_ZYX
from models.synthetic_ct.tissues.tissue_maps import (
    Tissue,
    TissueMap,
    read_tissue_map,
    tissue_map_names,
    write_tissue_maps,
)


def nothing(done, total, name):
    """A report that nobody reads."""


def written(folder, names, licence="CC0"):
    labels = np.zeros((50, 20, 30), np.uint8)
    for number in range(1, len(names) + 1):
        labels[5:45, 5:15, 5 * number : 5 * number + 4] = number
    folder.mkdir(parents=True)
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((4.0, 4.0, 2.0))
    sitk.WriteImage(image, str(folder / "label.nii.gz"))
    told = {"labels": {str(n): name for n, name in enumerate(names, start=1)}, "licence": licence}
    (folder / "labels.json").write_text(json.dumps(told))


@pytest.fixture
def folder(tmp_path):
    """Three patients; of the second nobody drew a femur, the third is damaged."""
    written(tmp_path / "labels" / "a", ["Femur_Head_R", "Femur_Head_L", "PTV"])
    written(tmp_path / "labels" / "b", ["Bladder"], "MIT")
    return tmp_path / "labels"


@pytest.fixture
def completed(monkeypatch):
    """Names of the label maps that were completed; what comes out is a block."""
    names = []

    def complete(label_map, template, device):
        if label_map.name == "b":
            raise DataSetInvalid("labels.no-bones", "Label map b has no femoral heads.")
        names.append(label_map.name)
        block = np.full((4, 5, 6), Tissue.BLADDER, np.uint8)
        return Completed(TissueMap(f"{label_map.name}__phantom", block), 0.9, ("PTV",))

    monkeypatch.setattr(label_sources, "complete", complete)
    return names


def test_each_map_is_completed_once_and_what_is_refused_is_told(folder, completed, tmp_path):
    told = []
    outcomes = complete_all(folder, tmp_path / "m.npz", None, "cpu", lambda *one: told.append(one))
    assert outcomes == [
        Outcome("a", 0.9, "no tissue, left out: PTV"),
        Outcome("b", None, "Label map b has no femoral heads.", refused=True),
    ]
    assert told == [(0, 2, "a"), (1, 2, "b"), (2, 2, "")]
    assert tissue_map_names(tmp_path / "m.npz") == ("a__phantom",)
    written(folder / "c", ["Femur_Head_R", "Femur_Head_L"])
    again = complete_all(folder, tmp_path / "m.npz", None, "cpu", nothing)
    assert again[0].remark == "is in the file already"
    assert completed == ["a", "c"]
    assert tissue_map_names(tmp_path / "m.npz") == ("a__phantom", "c__phantom")
    assert (read_tissue_map(tmp_path / "m.npz", "a__phantom").codes == Tissue.BLADDER).all()


def test_a_damaged_label_map_does_not_stop_the_others(folder, completed, tmp_path):
    (folder / "b" / "labels.json").write_text("{}")
    outcomes = complete_all(folder, tmp_path / "m.npz", None, "cpu", nothing)
    assert [one.refused for one in outcomes] == [False, True]
    assert "cannot be read" in outcomes[1].remark


def test_maps_of_another_box_do_not_get_into_a_file(tmp_path):
    write_tissue_maps(tmp_path / "m.npz", [TissueMap("a", np.zeros((2, 3, 4), np.uint8))])
    with pytest.raises(DataSetInvalid) as refused:
        write_tissue_maps(tmp_path / "m.npz", [TissueMap("b", np.zeros((2, 3, 5), np.uint8))], add=True)
    assert refused.value.code == "maps.other-shape"
    assert tissue_map_names(tmp_path / "m.npz") == ("a",)


def test_label_maps_without_femoral_heads_are_no_sources(folder, completed):
    written(folder / "word_0017", ["Femur_Head_R", "Femur_Head_L"], "GPL")
    sources, unused, licence = label_sources.label_sources(folder, None)
    assert [(one.patient, one.never_trained_on) for one in sources] == [("a", False), ("word_0017", True)]
    assert unused == [Outcome("b", None, "no femoral heads on both sides", refused=True)]
    assert licence == "CC0; GPL"
    assert completed == []  # only when a scan is made
    sources[0].open()
    assert completed == ["a"]


def test_a_template_is_the_phantom_a_map_of_a_file_or_a_label_map(folder, completed, tmp_path):
    assert template_named("phantom") is None
    codes = np.full(BOX_ZYX, Tissue.FAT, np.uint8)
    write_tissue_maps(tmp_path / "m.npz", [TissueMap("AFc", codes)])
    found = template_named(f"{tmp_path / 'm.npz'}:AFc")
    assert found is not None
    assert (found.source, found.codes.shape) == ("AFc", BOX_ZYX)
    other = template_named(str(folder / "a"))
    assert other is not None
    assert other.source == "a"
    write_tissue_maps(tmp_path / "small.npz", [TissueMap("AFc", codes[:10])])
    for wrong in (f"{tmp_path / 'm.npz'}:AMc", f"{tmp_path / 'small.npz'}:AFc", "somewhere"):
        with pytest.raises(DataSetInvalid) as refused:
            template_named(wrong)
        assert refused.value.code == "labels.no-template"
