"""An export goes in; a data set and one report of everything that was not taken come out."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pydicom
import pytest
import yaml
from drawn_structures import ball
from pydicom.dataset import Dataset
from training_export import BALLS, GRID, contours_of_roi, export, organs, renamed, write_set

from models.data_sets.data_set import DataSet, DataSetInvalid, DataSetWriter
from service.dicom.ct_writer import SyntheticPatient, uid_of
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, stacked_grid
from service.errors import DataRefused
from service.training_data.case_drawing import Rules
from service.training_data.import_report import ImportReport
from service.training_data.import_run import ImportPlan, run_import
from service.training_data.remarks import Weight


def quietly(items, description):
    return items


def imported(tmp_path, *, out="data", **options):
    """The report and the data set."""
    plan = ImportPlan(tmp_path / "export", tmp_path / out, tmp_path / f"{out}-records", **options)
    report = ImportReport()
    run_import(plan, report, quietly)
    return report, None if plan.report_only else DataSet.open(plan.out)


def said(report, code):
    return [one for one in report.all_remarks() if one.code == code]


def left_out(report):
    return {one.code for one in report.all_remarks() if one.weight is Weight.LEFT_OUT}


def test_a_case_has_the_cts_numbers_and_exactly_the_masks_that_were_drawn(tmp_path):
    made = export(tmp_path / "export" / "A")
    report, data = imported(tmp_path)
    case = data.read("p0001-1")
    np.testing.assert_array_equal(case.volume.hu, made.hu)
    np.testing.assert_array_equal(case.volume.grid.slice_origins_lps_mm, GRID.slice_origins_lps_mm)
    assert set(case.masks) == set(BALLS)
    for name, mask in made.masks.items():
        np.testing.assert_array_equal(case.masks[name], mask, err_msg=name)
    assert left_out(report) == set()
    assert data.contents.source.startswith("CT and RT Structure Sets, imported by Delineate")


@pytest.mark.parametrize("position", ORIENTATIONS)
def test_masks_are_exact_in_every_position(tmp_path, position):
    grid = patient_grid(position, shape_zyx=(26, 44, 48), spacing_zyx_mm=(3.0, 3.2, 2.8))
    made = export(tmp_path / "export", grid=grid, patient_position=position)
    case = imported(tmp_path)[1].read("p0001-1")
    assert {name for name in made.masks if (case.masks[name] == made.masks[name]).all()} == set(BALLS)


def test_masks_are_exact_on_an_oblique_ct_with_uneven_slices(tmp_path):
    offsets = np.r_[np.arange(14) * 2.5, 14 * 2.5 + 4.0 * np.arange(13)]
    orientation = rotated(ORIENTATIONS["HFS"], (1, 2, 0.3), 8.0)
    grid = stacked_grid(orientation, offsets, shape_yx=(44, 48), spacing_yx_mm=(3.2, 2.8))
    made = export(tmp_path / "export", grid=grid)
    case = imported(tmp_path)[1].read("p0001-1")
    assert all((case.masks[name] == mask).all() for name, mask in made.masks.items())
    np.testing.assert_allclose(case.volume.grid.slice_offsets_mm, offsets, atol=1e-4)


@pytest.mark.parametrize("holes", ["keyhole", "xor"])
def test_holes_are_exact_however_they_were_written(tmp_path, holes):
    (x, y, z), radius = BALLS["Rectum"]
    ring = {"Rectum": organs()["Rectum"] & (ball(GRID, (x + 3, y - 2, z), radius - 9) <= 0)}
    made = export(tmp_path / "export", masks=ring)
    write_set(tmp_path / "export" / "RS.dcm", made.series, ring, holes=holes)
    case = imported(tmp_path)[1].read("p0001-1")
    assert ring["Rectum"].sum() < 0.9 * organs()["Rectum"].sum()
    np.testing.assert_array_equal(case.masks["Rectum"], ring["Rectum"])


def test_nothing_depends_on_how_folders_are_nested_or_files_are_called(tmp_path):
    export(tmp_path / "one" / "CT", set_folder=tmp_path / "one" / "RTSTRUCT")
    for number, file in enumerate(sorted((tmp_path / "one").rglob("*.dcm"))):
        target = tmp_path / "export" / f"{number % 3}" / "deep er" / ("a" * (number % 4)) / f"I{number:05d}"
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    report, data = imported(tmp_path)
    assert data.names() == ("p0001-1",)
    assert left_out(report) == set()


def test_patients_are_kept_apart_and_each_is_in_one_part(tmp_path):
    """Five patients, of whom one has two CTs."""
    for number in range(5):
        export(tmp_path / "export" / f"P{number}" / "a", f"ID{number}", seed=number)
    export(tmp_path / "export" / "P0" / "b", "ID0", seed=100)
    report, data = imported(tmp_path, shares={"train": 0.6, "validation": 0.2, "test": 0.2})
    parts = {}
    for name in data.names():
        entry = data.entry(name)
        parts.setdefault(entry.patient, set()).add(entry.part)
    assert all(len(each) == 1 for each in parts.values())
    assert sorted(*zip(*parts.values(), strict=True)) == ["test", "train", "train", "train", "validation"]
    assert {"p0001-1", "p0001-2"} < set(data.names())
    with (tmp_path / "data-records" / "patients.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["patient"], row["id"]) for row in rows] == [(f"p{n + 1:04d}", f"ID{n}") for n in range(5)]
    assert {(row["patient"], row["part"]) for row in rows} == {(one, *each) for one, each in parts.items()}
    assert len(report.cases) == 6


def test_parts_are_drawn_among_the_patients_that_have_a_case(tmp_path):
    """Two patients of whom one cannot be used: the other is trained on, not kept for a test that has no train."""
    export(tmp_path / "export" / "A", "ID1", seed=1)
    (tmp_path / "export" / "A" / "CT0012.dcm").unlink()
    export(tmp_path / "export" / "B", "ID2", seed=2)
    report, data = imported(tmp_path)
    assert data.names("train") == ("p0002-1",)
    assert {one.code for one in report.remarks if one.patient == "p0001"} == {"series.hole"}


def test_several_sets_of_one_ct_complete_one_another(tmp_path):
    masks = organs()
    made = export(tmp_path / "export", masks={"Bladder": masks["Bladder"], "Rectum": masks["Rectum"]})
    second = {name: masks[name] for name in ("Rectum", "Femur_Head_L", "Femur_Head_R")}
    write_set(tmp_path / "export" / "RS2.dcm", made.series, second, number=2)
    report, data = imported(tmp_path)
    assert set(data.read("p0001-1").masks) == set(BALLS)
    assert [one.structure for one in said(report, "roi.same-twice")] == ["Rectum"]


# ---- bad input: each thing by name, with folder and reason


def test_a_set_of_another_ct_is_named(tmp_path):
    """The planning CT was exported, the set was drawn on an earlier one."""
    export(tmp_path / "earlier", seed=1, set_folder=tmp_path / "export" / "Smith")
    export(tmp_path / "export" / "Smith", seed=2, set_folder=tmp_path / "nowhere")
    export(tmp_path / "export" / "Jones", "ID2", seed=3)
    report, data = imported(tmp_path)
    (remark,) = said(report, "structure-set.other-ct")
    assert (remark.folder, remark.weight) == ("Smith", Weight.LEFT_OUT)
    assert "not in this export" in remark.sentence
    (other_half,) = said(report, "ct.not-drawn")
    assert other_half.folder == "Smith"
    assert len(data.names()) == 1


def test_an_roi_absent_in_half_the_patients_is_unknown_there_and_told(tmp_path):
    masks = organs()
    without = {name: mask for name, mask in masks.items() if name != "Rectum"}
    for number in range(4):
        export(
            tmp_path / "export" / f"P{number}",
            f"ID{number}",
            seed=number,
            masks=without if number % 2 else masks,
        )
    report, data = imported(tmp_path)
    (remark,) = said(report, "structure.not-everywhere")
    assert (remark.structure, remark.weight) == ("Rectum", Weight.WARNING)
    assert "known in 2 of 4 cases" in remark.sentence
    assert "p0002-1, p0004-1" in remark.sentence
    assert "Rectum" not in data.read("p0002-1").masks, "unknown, not absent"


def test_contours_on_three_of_all_slices_are_named(tmp_path):
    def three(ds: Dataset) -> None:
        contours = contours_of_roi(ds, "Bladder")
        contours[:] = [contours[0], contours[4], contours[8]]

    export(tmp_path / "export" / "Smith", edit=three)
    report, data = imported(tmp_path)
    (remark,) = said(report, "roi.gap")
    assert (remark.folder, remark.roi, remark.structure, remark.case) == (
        "Smith",
        "Bladder",
        "Bladder",
        "p0001-1",
    )
    assert "3 of the 9 slices" in remark.sentence
    assert set(data.read("p0001-1").masks) == set(BALLS) - {"Bladder"}


def test_a_ct_with_a_hole_is_named(tmp_path):
    export(tmp_path / "export" / "Smith")
    (tmp_path / "export" / "Smith" / "CT0012.dcm").unlink()
    export(tmp_path / "export" / "Jones", "ID2", seed=2)
    report, _ = imported(tmp_path)
    (hole,) = said(report, "series.hole")
    assert hole.folder == "Smith"
    assert "1 slice is missing" in hole.sentence
    (missing,) = said(report, "structure-set.images-missing")
    assert "1 of the 26 images" in missing.sentence


def test_two_rois_of_one_name_are_named(tmp_path):
    export(tmp_path / "export" / "Smith", edit=renamed(Rectum="Bladder"))
    report, data = imported(tmp_path)
    twice = said(report, "roi.twice")
    assert [(one.folder, one.roi, one.structure) for one in twice] == [("Smith", "Bladder", "Bladder")] * 2
    assert set(data.read("p0001-1").masks) == {"Femur_Head_L", "Femur_Head_R"}


def test_names_in_any_script_are_matched_or_named(tmp_path):
    scripts = {
        "Bladder": "膀胱",
        "Rectum": "Прямая кишка",
        "Femur_Head_L": "رأس الفخذ الأيسر",
        "Femur_Head_R": "นอกรายการ",
    }
    export(tmp_path / "export" / "Смирнов", edit=renamed(**scripts))
    report, data = imported(tmp_path)
    assert set(data.read("p0001-1").masks) == {"Bladder", "Rectum", "Femur_Head_L"}
    (unknown,) = said(report, "roi.name-unknown")
    assert (unknown.folder, unknown.roi) == ("Смирнов", "นอกรายการ")
    content = yaml.safe_load((tmp_path / "data-records" / "report.yaml").read_text(encoding="utf-8"))
    assert content["names_not_matched"] == {"นอกรายการ": {"times": 1}}


def test_a_name_without_a_side_is_named_and_not_guessed(tmp_path):
    export(tmp_path / "export", edit=renamed(Femur_Head_L="Femoral Head"))
    report, data = imported(tmp_path)
    assert [one.roi for one in said(report, "roi.no-side")] == ["Femoral Head"]
    assert "Femur_Head_L" not in data.structures


def test_sides_that_were_exchanged_are_named(tmp_path):
    export(tmp_path / "export", edit=renamed(Femur_Head_L="Femur_Head_R", Femur_Head_R="Femur_Head_L"))
    report, data = imported(tmp_path)
    assert [one.structure for one in said(report, "roi.sides-exchanged")] == ["Femur_Head_L", "Femur_Head_R"]
    assert set(data.structures) == {"Bladder", "Rectum"}


def test_contours_off_their_slices_are_named(tmp_path):
    def one_slice_up(ds: Dataset) -> None:
        for contour in contours_of_roi(ds, "Rectum"):
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            points[:, 2] += 3.0
            contour.ContourData = [f"{value:.3f}" for value in points.ravel()]

    export(tmp_path / "export" / "Smith", edit=one_slice_up)
    report, data = imported(tmp_path)
    (remark,) = said(report, "roi.off-slice")
    assert (remark.folder, remark.roi) == ("Smith", "Rectum")
    assert "3.00 mm off" in remark.sentence
    assert "Rectum" not in data.structures


def test_a_copy_of_a_patient_is_taken_once(tmp_path):
    export(tmp_path / "export" / "A")
    shutil.copytree(tmp_path / "export" / "A", tmp_path / "export" / "copy of A")
    report, data = imported(tmp_path)
    assert data.names() == ("p0001-1",)
    (remark,) = said(report, "file.twice")
    assert (remark.folder, remark.sentence.split()[0]) == ("copy of A", "27")


def test_one_ct_under_two_names_is_taken_once(tmp_path):
    """A patient exported twice under different IDs and UIDs would be trained on and tested on."""
    export(tmp_path / "export" / "A", "ID1", seed=5)
    export(tmp_path / "export" / "B", "ID2", seed=6)
    for first, second in zip(
        sorted((tmp_path / "export" / "A").glob("CT*")),
        sorted((tmp_path / "export" / "B").glob("CT*")),
        strict=True,
    ):
        ds = pydicom.dcmread(second)
        ds.PixelData = pydicom.dcmread(first).PixelData
        ds.save_as(second)
    report, data = imported(tmp_path)
    assert data.names() == ("p0001-1",)
    (remark,) = said(report, "ct.same-as")
    assert (remark.folder, remark.patient) == ("B", "p0002")
    assert "p0001-1" in remark.sentence


def test_a_ct_without_patient_id_needs_another_way_to_tell_patients_apart(tmp_path):
    for name in ("A", "B"):
        nobody = SyntheticPatient(name="", patient_id="")
        export(tmp_path / "export" / name / "CT", seed=ord(name), patient=nobody)
    with pytest.raises(DataRefused) as refused:
        imported(tmp_path)
    assert refused.value.code == "data.empty"
    content = yaml.safe_load((tmp_path / "data-records" / "report.yaml").read_text())
    assert {(one["code"], one["folder"]) for one in content["remarks"]} >= {
        ("patient.no-id", "A/CT"), ("patient.no-id", "B/CT"),
    }  # fmt: skip
    report, data = imported(tmp_path, out="again", patient_by="folder")
    assert data.names() == ("p0001-1", "p0002-1")
    assert left_out(report) == set()


def test_persons_who_share_an_id_stay_together_and_are_named(tmp_path):
    for number, name in enumerate(("Ann", "Beth", "Cleo")):
        person = SyntheticPatient(name=name, patient_id="ANON")
        export(tmp_path / "export" / name, seed=number, patient=person)
    report, data = imported(tmp_path)
    assert {data.entry(name).patient for name in data.names()} == {"p0001"}
    assert [one.folder for one in said(report, "patient.several-persons")] == ["Ann", "Beth", "Cleo"]


def test_what_is_neither_ct_nor_structure_set_is_counted(tmp_path):
    export(tmp_path / "export" / "A")
    (tmp_path / "export" / "A" / "notes.txt").write_text("x")
    (tmp_path / "export" / "A" / "Thumbs.db").write_text("x")
    dose = pydicom.dcmread(tmp_path / "export" / "A" / "RS.dcm")
    dose.SOPClassUID, dose.Modality = "1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE"
    dose.save_as(tmp_path / "export" / "A" / "RD.dcm")
    report, _ = imported(tmp_path)
    (remark,) = said(report, "file.other")
    assert remark.sentence == (
        "Neither CT nor structure set: 1 x RTDOSE, 1 x no DICOM (.db), 1 x no DICOM (.txt)."
    )


def test_a_volume_unlike_the_others_is_named(tmp_path):
    (x, y, z), _ = BALLS["Rectum"]
    for number in range(5):
        masks = organs() if number else {"Rectum": ball(GRID, (x, y, z), 24.0) > 0}
        if not number:
            masks["Rectum"] &= np.arange(48)[None, None, :] == 23
        export(tmp_path / "export" / f"P{number}", f"ID{number}", seed=number, masks=masks)
    report, _ = imported(tmp_path)
    (remark,) = said(report, "structure.volume-unusual")
    assert (remark.case, remark.structure, remark.folder) == ("p0001-1", "Rectum", "P0")
    assert "the median of 5 cases" in remark.sentence


# ---- options


def test_only_the_structures_that_were_asked_for_are_taken(tmp_path):
    export(tmp_path / "export")
    report, data = imported(tmp_path, rules=Rules(structures=frozenset({"Bladder", "CTVn"})))
    assert data.structures == ("Bladder",)
    assert {one.structure for one in said(report, "roi.not-asked-for")} == set(BALLS) - {"Bladder"}
    assert [one.structure for one in said(report, "structure.nowhere")] == ["CTVn"]


def test_a_structure_that_nobody_knows_cannot_be_asked_for(tmp_path):
    export(tmp_path / "export")
    with pytest.raises(
        DataRefused, match=r"Blader is no structure of the list of names; is it Bladder\?"
    ) as refused:
        imported(tmp_path, rules=Rules(structures=frozenset({"Blader"})))
    assert refused.value.code == "names.no-structure"
    assert not (tmp_path / "data-records").exists()


def test_an_empty_roi_means_absent_only_if_that_is_said(tmp_path):
    def emptied(ds: Dataset) -> None:
        contours_of_roi(ds, "Rectum")[:] = []

    export(tmp_path / "export", edit=emptied)
    assert "Rectum" not in imported(tmp_path)[1].read("p0001-1").masks
    _, data = imported(tmp_path, out="absent", rules=Rules(empty_is_absent=True))
    assert not data.read("p0001-1").masks["Rectum"].any()


def test_names_and_extents_of_ones_own_go_into_the_data_set(tmp_path):
    export(tmp_path / "export", edit=renamed(Rectum="Rx 7"))
    mine = tmp_path / "mine.yaml"
    mine.write_text("structures: {Rectum: {names: [rx7], extent: from S3 to the anus}}")
    _, data = imported(tmp_path, names=(mine,), licence="our own")
    assert data.contents.structures["Rectum"] == "from S3 to the anus"
    assert data.contents.licence == "our own"


def test_a_report_alone_makes_no_data_set_and_no_list_of_patients(tmp_path):
    export(tmp_path / "export")
    report, _ = imported(tmp_path, report_only=True)
    assert [case.name for case in report.cases] == ["p0001-1"]
    assert not (tmp_path / "data").exists()
    assert sorted(one.name for one in (tmp_path / "data-records").iterdir()) == ["report.csv", "report.yaml"]


def test_a_later_import_keeps_pseudonyms_and_parts(tmp_path):
    for number in (3, 5, 7):
        export(tmp_path / "export" / f"P{number}", f"ID{number}", seed=number)
    _, first = imported(tmp_path)
    before = {first.entry(name).patient: first.entry(name).part for name in first.names()}
    for number in (1, 4):
        export(tmp_path / "export" / f"P{number}", f"ID{number}", seed=number)
    plan = ImportPlan(tmp_path / "export", tmp_path / "second", tmp_path / "data-records")
    run_import(plan, ImportReport(), quietly)
    second = DataSet.open(tmp_path / "second")
    after = {second.entry(name).patient: second.entry(name).part for name in second.names()}
    assert before.items() < after.items()
    assert after.keys() - before.keys() == {"p0004", "p0005"}


def test_records_in_the_data_set_are_refused(tmp_path):
    export(tmp_path / "export")
    plan = ImportPlan(tmp_path / "export", tmp_path / "data", tmp_path / "data" / "records")
    with pytest.raises(DataRefused) as refused:
        run_import(plan, ImportReport(), quietly)
    assert refused.value.code == "records.inside"


def test_a_data_set_within_the_export_is_not_imported_again(tmp_path):
    export(tmp_path / "export" / "A")
    plan = ImportPlan(tmp_path / "export", tmp_path / "export" / "out", tmp_path / "export" / "records")
    run_import(plan, ImportReport(), quietly)
    report = ImportReport()
    run_import(ImportPlan(tmp_path / "export", tmp_path / "export" / "out2", plan.records), report, quietly)
    assert {one.code for one in report.remarks} == {"file.other"}, "the first data set is neither CT nor set"


# ---- privacy


def everything_in(folder):
    """All text of a folder: names of files, what they hold, archives unpacked."""
    for file in sorted(folder.rglob("*")):
        yield str(file.relative_to(folder))
        if file.suffix == ".npz":
            with np.load(file) as archive:
                yield from (f"{key} {archive[key].dtype} {archive[key][:3]}" for key in archive.files)
            yield file.read_bytes().decode("latin-1")
        elif file.is_file():
            yield file.read_text(encoding="utf-8")


CANARIES = ("canary", "19331224", "20250102", "2.25.", uid_of(7, "study"))


@pytest.mark.parametrize("anonymise", [False, True])
def test_nothing_in_the_data_set_names_a_patient(tmp_path, anonymise):
    canary = SyntheticPatient(name="CanaryName^Phi", patient_id="CANARYID77", birth_date="19331224")
    export(tmp_path / "export" / "CanaryFolder", seed=7, patient=canary, edit=renamed(Rectum="CanaryRoi"))
    report, data = imported(tmp_path, anonymise=anonymise)
    content = "\n".join(everything_in(tmp_path / "data")).casefold()
    assert [one for one in CANARIES if one in content] == []
    assert data.names() == ("p0001-1",)
    records = "\n".join(everything_in(tmp_path / "data-records")).casefold()
    found = [one for one in ("canaryname", "canaryid77", "canaryfolder", "canaryroi") if one in records]
    assert found == ([] if anonymise else ["canaryid77", "canaryfolder", "canaryroi"])
    assert said(report, "roi.name-unknown")[0].folder == "CanaryFolder", (
        "who runs it still sees where to look"
    )


def test_anonymise_numbers_patients_in_an_order_of_its_own_and_moves_the_origin(tmp_path, monkeypatch):
    shuffled = []
    monkeypatch.setattr(
        "secrets.SystemRandom.shuffle", lambda self, items: (shuffled.extend(items), items.reverse())
    )
    for number in range(3):
        export(tmp_path / "export" / f"P{number}", f"ID{number}", seed=number)
    originals = {
        number: export(tmp_path / "again" / f"P{number}", f"ID{number}", seed=number) for number in range(3)
    }
    _, data = imported(tmp_path, anonymise=True)
    assert [one[1] for one in shuffled] == ["ID0", "ID1", "ID2"]
    assert (data.read("p0001-1").volume.hu == originals[2].hu).all()
    assert sorted(one.name for one in (tmp_path / "data-records").iterdir()) == ["report.csv", "report.yaml"]
    grid = data.read("p0001-1").volume.grid
    last = grid.positions_lps_mm(25, np.array(43.0), np.array(47.0))
    np.testing.assert_allclose(grid.slice_origins_lps_mm[0] + last, 0, atol=1e-9)
    assert all((data.read("p0001-1").masks[name] == mask).all() for name, mask in originals[2].masks.items())


# ---- interruptions


def full_after(monkeypatch, cases):
    """The disk is full when the case after so many is written."""
    added = []
    add = DataSetWriter.add

    def limited(self, case, part):
        if len(added) == cases:
            raise DataSetInvalid("data.disk-full", "The disk is full.")
        added.append(case.name)
        add(self, case, part)

    monkeypatch.setattr(DataSetWriter, "add", limited)
    return added


@pytest.mark.parametrize("anonymise", [False, True])
def test_after_a_full_disk_the_same_command_goes_on_and_the_report_is_whole(tmp_path, monkeypatch, anonymise):
    for number in range(4):
        export(
            tmp_path / "export" / f"P{number}",
            f"ID{number}",
            seed=number,
            edit=renamed(Rectum=f"odd {number}"),
        )
    with monkeypatch.context() as patch:
        first = full_after(patch, 2)
        with pytest.raises(DataSetInvalid, match="full"):
            imported(tmp_path, anonymise=anonymise)
    with pytest.raises(DataSetInvalid) as refused:
        DataSet.open(tmp_path / "data")
    assert refused.value.code == "data.unfinished"
    with monkeypatch.context() as patch:
        second = full_after(patch, 99)
        report, data = imported(tmp_path, anonymise=anonymise)
    assert (len(first), len(second)) == (2, 2), "no case is made twice"
    assert len({*first, *second}) == 4
    assert len(said(report, "roi.name-unknown")) == 4, "remarks of the first run are in the report"
    whole, other = imported(tmp_path, out="whole", anonymise=anonymise)
    assert sorted(
        row["sentence"] for row in map(dict, map(lambda one: one.as_row(), report.all_remarks()))
    ) == sorted(one.sentence for one in whole.all_remarks())
    if not anonymise:
        assert other.fingerprint == data.fingerprint
    data.check()


def test_an_unfinished_import_that_was_begun_differently_is_refused(tmp_path, monkeypatch):
    for number in range(2):
        export(tmp_path / "export" / f"P{number}", f"ID{number}", seed=number)
    with monkeypatch.context() as patch:
        full_after(patch, 1)
        with pytest.raises(DataSetInvalid):
            imported(tmp_path)
    with pytest.raises(DataRefused) as refused:
        imported(tmp_path, rules=Rules(prefer="newest"))
    assert refused.value.code == "records.other-unfinished"
    (tmp_path / "data-records" / "unfinished.jsonl").unlink()
    with pytest.raises(DataRefused) as refused:
        imported(tmp_path)
    assert refused.value.code == "records.lost"


def test_a_case_that_was_written_but_not_noted_is_not_written_twice(tmp_path, monkeypatch):
    for number in range(2):
        export(tmp_path / "export" / f"P{number}", f"ID{number}", seed=number)
    with monkeypatch.context() as patch:
        full_after(patch, 1)
        with pytest.raises(DataSetInvalid):
            imported(tmp_path)
    journal = tmp_path / "data-records" / "unfinished.jsonl"
    journal.write_text(journal.read_text().split("\n")[0] + "\n{torn")
    assert imported(tmp_path)[1].names() == ("p0001-1", "p0002-1")


@pytest.mark.parametrize("anonymise", [False, True])
def test_a_kill_before_the_report_is_written_leaves_the_report_to_the_next_run(
    tmp_path, monkeypatch, anonymise
):
    export(tmp_path / "export", edit=renamed(Rectum="odd"))

    def killed(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ImportReport, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            imported(tmp_path, anonymise=anonymise)
    written = DataSet.open(tmp_path / "data").fingerprint
    report, data = imported(tmp_path, anonymise=anonymise)
    assert report.fingerprint == data.fingerprint == written
    assert [case.name for case in report.cases] == ["p0001-1"]
    assert len(said(report, "roi.name-unknown")) == 1
    assert not (tmp_path / "data-records" / "unfinished.jsonl").exists()
    assert (tmp_path / "data-records" / "patients.csv").exists() is not anonymise
    assert not (tmp_path / "data-records" / "unfinished-patients.csv").exists()


def test_a_data_set_that_is_there_is_not_written_over_and_nothing_is_begun(tmp_path):
    export(tmp_path / "export")
    imported(tmp_path)
    with pytest.raises(DataSetInvalid) as refused:
        imported(tmp_path, rules=Rules(prefer="newest"))
    assert refused.value.code == "data.exists"
    assert not (tmp_path / "data-records" / "unfinished.jsonl").exists()


def test_an_export_without_a_usable_structure_leaves_a_report_and_no_folder(tmp_path):
    export(tmp_path / "export" / "A", edit=renamed(**{name: f"odd {name}" for name in BALLS}))
    with pytest.raises(DataRefused, match="Not one case"):
        imported(tmp_path)
    content = yaml.safe_load((tmp_path / "data-records" / "report.yaml").read_text())
    assert len(content["names_not_matched"]) == 4
    assert not (tmp_path / "data").exists()


def test_an_empty_folder_is_refused_with_a_report(tmp_path):
    (tmp_path / "export").mkdir()
    with pytest.raises(DataRefused, match="Not one case"):
        imported(tmp_path)
    assert (tmp_path / "data-records" / "report.csv").exists()
