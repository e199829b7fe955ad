import json

import numpy as np
import pytest
import SimpleITK as sitk

from models.data_sets.case_file import DataSetInvalid
from models.synthetic_ct.label_maps.label_maps import label_map_folders, read_label_map


def written(
    folder, array_zyx, names, *, spacing_xyz=(2.0, 3.0, 4.0), origin_xyz=(0.0, 0.0, 0.0), turned=None
):
    folder.mkdir(exist_ok=True)
    image = sitk.GetImageFromArray(array_zyx)
    image.SetSpacing(spacing_xyz)
    image.SetOrigin(origin_xyz)
    if turned is not None:
        image = turned(image)
    sitk.WriteImage(image, str(folder / "label.nii.gz"))
    (folder / "labels.json").write_text(json.dumps({"labels": names, "licence": "CC0"}))
    return folder


def corner():
    """A 1 at the patient's right, front and foot end, a 2 at the other end."""
    array = np.zeros((5, 6, 7), np.uint8)
    array[0, 0, 0], array[4, 5, 6] = 1, 2
    return array


@pytest.mark.parametrize("code", ["LPS", "RAS", "RPI", "SAL", "ILA", "PSR"])
def test_the_array_runs_to_left_back_and_head_whatever_the_file_says(tmp_path, code):
    folder = written(
        tmp_path / "case",
        corner(),
        {"1": "Bladder", "2": "Rectum"},
        origin_xyz=(-10.0, 20.0, 5.0),
        turned=lambda image: sitk.DICOMOrient(image, code),
    )
    found = read_label_map(folder)
    assert (found.labels == corner()).all()
    assert found.spacing_zyx_mm == pytest.approx([4, 3, 2])
    assert found.origin_zyx_mm == pytest.approx([5, 20, -10])
    assert (found.name, found.licence) == ("case", "CC0")


def test_labels_are_found_by_name_ignoring_case(tmp_path):
    found = read_label_map(written(tmp_path / "case", corner(), {"1": "Bladder", "2": "Rectum"}))
    assert found.where("BLADDER").sum() == 1
    assert found.where("bladder", "rectum").sum() == 2
    assert not found.where("Liver").any()


def tilted(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def turn(image):
        image.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
        return image

    return turn


def test_a_slight_tilt_is_straightened_and_every_voxel_stays_where_it_is(tmp_path):
    array = np.zeros((6, 40, 40), np.uint8)
    array[2:4, 28:34, 30:36] = 1
    folder = written(
        tmp_path / "case", array, {"1": "Bladder"}, spacing_xyz=(2.0, 2.0, 3.0), turned=tilted(5)
    )
    found = read_label_map(folder)
    at_mm = np.argwhere(found.labels).mean(0) * found.spacing_zyx_mm + found.origin_zyx_mm
    c, s = np.cos(np.radians(5)), np.sin(np.radians(5))
    x, y = 32.5 * 2, 30.5 * 2
    assert at_mm == pytest.approx([7.5, s * x + c * y, c * x - s * y], abs=0.5)
    assert found.labels.sum() == pytest.approx(72, rel=0.1)


def refused(folder):
    with pytest.raises(DataSetInvalid) as refusal:
        read_label_map(folder)
    assert refusal.value.code in str(refusal.value.code)
    return refusal.value.code


def test_what_is_no_label_map_is_refused(tmp_path):
    assert (
        refused(written(tmp_path / "tilted", corner(), {"1": "A", "2": "B"}, turned=tilted(35)))
        == "labels.oblique"
    )
    assert refused(written(tmp_path / "unnamed", corner(), {"1": "Bladder"})) == "labels.unnamed"
    assert (
        refused(written(tmp_path / "float", corner().astype(np.float32), {"1": "A"})) == "labels.unreadable"
    )
    assert (
        refused(written(tmp_path / "many", corner().astype(np.int16) * 300, {"1": "A"}))
        == "labels.unreadable"
    )
    (written(tmp_path / "nameless", corner(), {}) / "labels.json").unlink()
    assert refused(tmp_path / "nameless") == "labels.unreadable"
    (written(tmp_path / "cut", corner(), {"1": "A", "2": "B"}) / "label.nii.gz").write_bytes(b"no image")
    assert refused(tmp_path / "cut") == "labels.unreadable"
    assert refused(written(tmp_path / "a name", corner(), {"1": "A", "2": "B"})) == "labels.unnamed"


def test_label_maps_are_found_in_a_folder_or_are_it(tmp_path):
    for name in ("b", "a"):
        written(tmp_path / name, corner(), {"1": "A", "2": "B"})
    (tmp_path / "other").mkdir()
    assert [folder.name for folder in label_map_folders(tmp_path)] == ["a", "b"]
    assert label_map_folders(tmp_path / "a") == (tmp_path / "a",)
    with pytest.raises(DataSetInvalid, match="holds no label map"):
        label_map_folders(tmp_path / "other")
