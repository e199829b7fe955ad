"""Which NIfTI files belong together, by their names; what belongs to nothing is told."""

from __future__ import annotations

import json

import pytest

from service.training_data.nifti_files import find_nifti, read_labels


def laid_out(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return find_nifti(root, root.rglob("*.nii*"))


def told(cases, root):
    return {
        case.case: (case.patient, sorted(str(mask.relative_to(root)) for mask in case.masks))
        for case in cases
    }


def codes(remarks):
    return sorted((one.code, one.folder, one.roi) for one in remarks)


def test_masks_lie_beside_the_image_or_in_a_folder_of_their_own(tmp_path):
    cases, remarks = laid_out(
        tmp_path, "s1/ct.nii.gz", "s1/segmentations/bladder.nii.gz", "s1/segmentations/rectum.nii.gz",
        "s2/scan 1/image.nii", "s2/scan 1/Bladder.nii", "s2/scan 2/IMG.nii", "s2/scan 2/masks/Blase.nii.gz",
    )  # fmt: skip
    assert told(cases, tmp_path) == {
        "s1": ("s1", ["s1/segmentations/bladder.nii.gz", "s1/segmentations/rectum.nii.gz"]),
        "s2/scan 1": ("s2", ["s2/scan 1/Bladder.nii"]),
        "s2/scan 2": ("s2", ["s2/scan 2/masks/Blase.nii.gz"]),
    }
    assert remarks == []


def test_a_label_map_needs_names_for_its_numbers(tmp_path):
    (tmp_path / "labels.yaml").write_text("{background: 0, Bladder: 1, Rectum: 2}")
    cases, remarks = laid_out(tmp_path, "a/ct.nii", "a/label.nii")
    assert (cases[0].label_map, cases[0].labels) == (
        tmp_path / "a" / "label.nii",
        {1: "Bladder", 2: "Rectum"},
    )
    (tmp_path / "labels.yaml").unlink()
    cases, remarks = laid_out(tmp_path)
    assert cases == []
    assert [one[0] for one in codes(remarks)] == ["ct.not-drawn", "nifti.no-labels"]


def test_the_nearest_file_of_labels_counts(tmp_path):
    (tmp_path / "labels.yaml").write_text("{1: Bladder}")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "labels.json").write_text('{"labels": {"1": "Rectum"}}')
    cases, _ = laid_out(tmp_path, "a/ct.nii", "a/label.nii", "b/ct.nii", "b/seg.nii")
    assert [dict(case.labels) for case in cases] == [{1: "Rectum"}, {1: "Bladder"}]


def test_the_layout_of_nnunet_is_known(tmp_path):
    (tmp_path / "Dataset7").mkdir()
    (tmp_path / "Dataset7" / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "bladder": 1}})
    )
    cases, remarks = laid_out(
        tmp_path, "Dataset7/imagesTr/case_01_0000.nii.gz", "Dataset7/labelsTr/case_01.nii.gz",
        "Dataset7/imagesTr/case_02_0000.nii.gz", "Dataset7/imagesTr/case_01_0001.nii.gz",
        "Dataset7/labelsTr/case_03.nii.gz",
    )  # fmt: skip
    assert [(case.case, case.patient, dict(case.labels)) for case in cases] == [
        ("case_01", "case_01", {1: "bladder"})
    ]
    assert codes(remarks) == [
        ("ct.not-drawn", "Dataset7/imagesTr", "case_02_0000.nii.gz"),
        ("nifti.no-image", "Dataset7/labelsTr", "case_03.nii.gz"),
        ("nifti.other-channel", "Dataset7/imagesTr", "case_01_0001.nii.gz"),
    ]


def test_a_list_of_patients_overrules_folders(tmp_path):
    (tmp_path / "patients.csv").write_text("case,patient\nbefore,Ann\nafter,Ann\n")
    cases, _ = laid_out(
        tmp_path,
        *(f"{name}/{file}" for name in ("before", "after", "other") for file in ("ct.nii", "Bladder.nii")),
    )
    assert {case.case: case.patient for case in cases} == {"after": "Ann", "before": "Ann", "other": "other"}


def test_what_belongs_to_nothing_is_told(tmp_path):
    _, remarks = laid_out(
        tmp_path,
        "a/Bladder.nii",
        "b/ct.nii",
        "b/image.nii",
        "b/Bladder.nii",
        "c/ct.nii",
        "c/label.nii",
        "c/seg.nii",
    )
    assert codes(remarks) == [
        ("ct.not-drawn", "c", "ct.nii"),
        ("nifti.no-image", "a", "Bladder.nii"),
        ("nifti.no-labels", "c", "label.nii"),
        ("nifti.no-labels", "c", "seg.nii"),
        ("nifti.several-images", "b", "image.nii"),
    ]
    (tmp_path / "labels.yaml").write_text("{1: Bladder}")
    _, remarks = laid_out(tmp_path)
    assert ("nifti.several-label-maps", "c", "seg.nii") in codes(remarks)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("{1: Bladder, '2': Rectum, 0: background}", {1: "Bladder", 2: "Rectum"}),
        ("Bladder: 1\n膀胱: 4", {1: "Bladder", 4: "膀胱"}),
        ('{"labels": {"1": "Bladder"}, "licence": "x"}', {1: "Bladder"}),
        ("{Bladder: 1, Rectum: 1}", None),
        ("{Bladder: one}", None),
        ("{both: [1, 2]}", None),
        ("[Bladder]", None),
        ("{", None),
        ("", None),
    ],
)
def test_labels_are_numbers_with_names(tmp_path, text, labels):
    (tmp_path / "labels.yaml").write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / "labels.yaml") == labels
