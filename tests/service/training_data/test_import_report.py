"""The report: what a person reads of an import, and what may be kept when nothing may lead back to a patient."""

from __future__ import annotations

import csv

import pytest
import yaml

from service.errors import DataRefused
from service.training_data.import_report import CaseMade, ImportReport
from service.training_data.remarks import Remark, Weight, remark_of

GAP = Remark(
    "roi.gap",
    "It was not finished.",
    Weight.LEFT_OUT,
    "Smith, J/CT 1",
    "Blase",
    "p0001",
    "p0001-1",
    "Bladder",
)


def case(number, **volumes_cm3):
    return CaseMade(f"p{number:04d}-1", f"p{number:04d}", f"folder {number}", f"1.2.{number}", volumes_cm3)


def report(*cases, remarks=()):
    parts = {one.patient: "train" if n else "test" for n, one in enumerate(cases)}
    return ImportReport("a test", list(cases), parts, list(remarks), {}, "ab" * 32)


def test_what_is_left_out_comes_first():
    remarks = [
        Remark("file.other", "x", Weight.NOTE),
        Remark("roi.gap-kept", "x", Weight.WARNING),
        GAP,
    ]
    assert [one.weight for one in report(remarks=remarks).all_remarks()] == [
        Weight.LEFT_OUT, Weight.WARNING, Weight.NOTE,
    ]  # fmt: skip


def test_a_structure_that_cases_lack_is_told_and_half_is_a_warning():
    cases = [case(n, Bladder=100.0, **({"Rectum": 50.0} if n < 3 else {})) for n in range(1, 5)]
    (remark,) = report(*cases).all_remarks()
    assert (remark.code, remark.structure, remark.weight) == (
        "structure.not-everywhere",
        "Rectum",
        Weight.WARNING,
    )
    assert remark.sentence == "It is known in 2 of 4 cases, unknown (not absent) in p0003-1, p0004-1."
    (remark,) = report(*cases[:3]).all_remarks()
    assert remark.weight is Weight.NOTE


def test_a_volume_eight_times_off_the_median_is_told_where_there_are_five_cases():
    cases = [case(n, Bladder=volume) for n, volume in enumerate((100.0, 90.0, 110.0, 801.0, 12.4), 1)]
    found = {one.case: one.sentence for one in report(*cases).all_remarks()}
    assert found == {
        "p0004-1": "Its volume is 801.00 cm3, the median of 5 cases 100.00 cm3.",
        "p0005-1": "Its volume is 12.40 cm3, the median of 5 cases 100.00 cm3.",
    }
    assert report(*cases[:4]).all_remarks() == [], "four cases have no usual volume"
    cases[4] = case(5, Bladder=0.0)
    assert report(*cases).all_remarks() == [], "a structure that is absent has no volume"


def test_names_that_were_not_matched_are_counted():
    codes = ("roi.name-unknown", "roi.name-unknown", "roi.no-side", "roi.gap")
    remarks = [
        Remark(code, "x", Weight.LEFT_OUT, roi="Opt" if n < 2 else f"roi {n}") for n, code in enumerate(codes)
    ]
    assert report(remarks=remarks).unmatched_names() == {"Opt": 2, "roi 2": 1}


def test_the_files_say_everything(tmp_path):
    made = report(case(1, Bladder=100.0), case(2, Bladder=60.0, Uterus=0.0), remarks=[GAP])
    made.remarks.append(Remark("roi.name-unknown", "x", Weight.LEFT_OUT, roi="Bladdder"))
    made.suggestions["Bladdder"] = "Bladder"
    made.write(tmp_path / "records", anonymous=False)
    content = yaml.safe_load((tmp_path / "records" / "report.yaml").read_text())
    assert content["fingerprint"] == "ab" * 32
    assert content["parts"] == {"train": ["p0002-1"], "validation": [], "test": ["p0001-1"]}
    assert content["structures"]["Bladder"] == {
        "known_in": 2, "of": 2, "absent_in": 0, "median_cm3": 80.0, "smallest_cm3": 60.0, "largest_cm3": 100.0,
    }  # fmt: skip
    assert content["structures"]["Uterus"] == {"known_in": 1, "of": 2, "absent_in": 1}
    assert content["cases"]["p0001-1"] == {"folder": "folder 1", "origin": "1.2.1"}
    assert content["names_not_matched"] == {"Bladdder": {"times": 1, "like": "Bladder"}}
    assert content["remarks"][0] == {
        "weight": "left out", "code": "roi.gap", "patient": "p0001", "case": "p0001-1", "structure": "Bladder",
        "folder": "Smith, J/CT 1", "roi": "Blase", "sentence": "It was not finished.",
    }  # fmt: skip
    with (tmp_path / "records" / "report.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["folder"] == "Smith, J/CT 1"
    assert len(rows) == len(content["remarks"]) == 3


def test_anonymous_files_say_nothing_of_the_exports_own_words(tmp_path):
    made = report(
        case(1, Bladder=100.0), remarks=[GAP, Remark("roi.name-unknown", "x", Weight.LEFT_OUT, roi="Smith 2")]
    )
    made.write(tmp_path, anonymous=True)
    for file in tmp_path.iterdir():
        text = file.read_text()
        assert [word for word in ("Smith", "Blase", "folder 1", "1.2.1") if word in text] == [], file.name
        assert "p0001-1" in text


def test_a_remark_comes_back_from_its_row():
    assert remark_of(GAP.as_row()) == GAP


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.training_data.import_report.yaml.safe_dump", full)
    with pytest.raises(DataRefused) as refused:
        report(case(1, Bladder=1.0)).write(tmp_path, anonymous=False)
    assert refused.value.code == "records.disk-full"
