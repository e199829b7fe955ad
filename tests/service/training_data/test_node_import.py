"""A node's approved cases become a data set: who is in it, what it is called, what it does not say."""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import pytest
import sqlalchemy as sa
import yaml
from training_export import BALLS, export, renamed

from models.data_sets.data_set import DataSet
from service.backlog import ledger_tables as tables
from service.backlog.ledger import Ledger
from service.backlog.records import Mode, PatientIdentity, ReceivedSeries, SeriesState
from service.backlog.review_records import NewStructure
from service.config.reader import LoadedSite, parse
from service.errors import ConfigInvalid, DataRefused
from service.training_data.import_report import ImportReport
from service.training_data.node_import import Wish, import_from_node
from service.training_data.patients import part_of


@dataclass
class Node:
    """A ledger and a storage folder with CTs and sets that came back."""

    folder: Path
    consent: dict = field(default_factory=lambda: {"consent": "all"})

    def __post_init__(self) -> None:
        self.storage = self.folder / "var"
        self.ledger = Ledger(f"sqlite:///{self.storage / 'delineate.sqlite'}", self.storage)
        self.ledger.migrate()
        self.at = 1000.0

    @property
    def loaded(self) -> LoadedSite:
        config = {"node": {"storage": "var"}, "routes": [], "evaluation": {"training": self.consent}}
        return parse(yaml.safe_dump(config), self.folder / "config.yaml", check_bundles=False)

    def came_back(self, patient: str, seed: int, approval: str = "APPROVED", **names: str) -> Path:
        """A CT with an approved set whose ROIs have these names; its folder in the spool."""
        spool = self.storage / "spool" / "incoming" / f"ct{seed}"
        reviewed = self.storage / "reviews" / f"set{seed}"
        if spool.exists():
            shutil.rmtree(spool)
        made = export(spool, patient, seed=seed, edit=renamed(**names), set_folder=reviewed)
        self.write_down(patient, made.series.series_instance_uid, spool, reviewed / "RS.dcm", names, approval)
        return spool

    def write_down(self, patient, series_uid, spool, file, names, approval="APPROVED") -> None:
        received = ReceivedSeries(
            series_uid, "2.25.1", "SCANNER", "DELINEATE", "127.0.0.1", spool, (), 1.0, 2.0
        )
        images = sorted(spool.glob("*.dcm"))
        self.at += 1.0
        with self.ledger.begin() as conn:
            self.ledger.save_config(conn, "v1", "")
            series = self.ledger.record_series(
                conn, received, PatientIdentity(patient_id=patient), SeriesState.ROUTED
            )
            job = self.ledger.create_job(
                conn,
                series_id=series,
                protocol="pelvis",
                destinations=(),
                mode=Mode.SEND,
                priority=1,
                files=images,
                config_version="v1",
            )
            row = self.ledger.add_reviewed_set(
                conn,
                name=hashlib.sha256(f"{file}{self.at}".encode()).hexdigest(),
                received_at=self.at,
                series_id=series,
                sender="TPS",
                file=file,
                sha256="0" * 64,
                approval=approval,
            )
            structures = [
                NewStructure(
                    job.id, 1.0, "pelvis", "SCANNER", "a@1.0", False, name, names.get(name, name), "number"
                )
                for name in BALLS
            ]
            self.ledger.add_reviewed_structures(conn, row, structures)

    def forget(self) -> None:
        """Deletes what the ledger says of the newest job, and on which CT its set was drawn."""
        row = self.ledger.reviewed_sets()[0]
        s, j = tables.series, tables.job
        with self.ledger.begin() as conn:
            conn.execute(sa.update(s).where(s.c.id == row.series_id).values(purged_at=3.0))
            conn.execute(sa.update(j).where(j.c.series_id == row.series_id).values(state="done"))
        assert self.ledger.delete_rows(time.time() + 60) == 1

    def data(self, name: str = "data", keep_aside: float = 0.2, track=None) -> tuple[DataSet, ImportReport]:
        out = self.folder / name
        report = ImportReport()
        wish = Wish(out, self.folder / f"{name}-records", keep_aside, 0.0)
        import_from_node(self.loaded, self.ledger, wish, report, track or (lambda items, _: items))
        return DataSet.open(out), report


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    node.ledger.close()


def codes(report: ImportReport) -> list[str]:
    return sorted(one.code for one in report.remarks)


def test_ct_and_approved_contours_become_a_case_under_a_name_that_says_nothing(node):
    spool = node.came_back("ID-77", 1, Rectum="xyz 7")  # a name that no list has: the node matched it
    data, report = node.data()
    case = data.read("p0001-1")
    assert set(case.masks) == set(BALLS)
    assert data.contents.source.startswith("Approved structure sets of a node, imported by Delineate")
    first = pydicom.dcmread(sorted(spool.glob("*.dcm"))[0])
    said = b"".join(file.read_bytes() for file in (node.folder / "data").rglob("*") if file.is_file())
    said += b"".join(file.read_bytes() for file in (node.folder / "data-records").iterdir())
    for value in (b"ID-77", b"xyz 7", first.SeriesInstanceUID.encode(), first.StudyDate.encode()):
        assert value not in said
    origin = case.volume.grid.slice_origins_lps_mm
    last = case.volume.grid.positions_lps_mm(
        len(origin) - 1, np.array(case.volume.grid.rows - 1.0), np.array(case.volume.grid.columns - 1.0)
    )
    np.testing.assert_allclose((origin[0] + last) / 2, 0, atol=1e-9)
    assert sorted(file.name for file in (node.folder / "data-records").iterdir()) == [
        "report.csv",
        "report.yaml",
    ]
    assert codes(report) == []


def test_nobody_is_taken_who_did_not_agree(node):
    node.came_back("ID1", 1)
    node.came_back("ID2", 2)
    node.consent = {"consent": "none"}
    with pytest.raises(DataRefused) as refused:
        node.data()
    assert refused.value.code == "consent.none"
    (node.folder / "agreed.txt").write_text("# asked in 2026\nID2\n")
    node.consent = {"consent": "listed", "consent_file": "agreed.txt"}
    data, report = node.data()
    assert len(data.names()) == 1
    assert codes(report) == ["patient.no-consent"]
    node.consent = {"consent": "listed"}
    with pytest.raises(ConfigInvalid, match="go together"):
        _ = node.loaded


def test_what_is_not_taken_is_named_with_its_reason(node):
    node.came_back("ID1", 1)
    node.came_back("ID2", 2, "UNAPPROVED")
    shutil.rmtree(node.came_back("ID3", 3))
    node.came_back("ID4", 4)
    (node.storage / "reviews" / "set4" / "RS.dcm").unlink()
    old = node.storage / "reviews" / "set1"
    shutil.copytree(old, node.storage / "reviews" / "again")  # approved anew, the same CT
    series = pydicom.dcmread(next((node.storage / "spool" / "incoming" / "ct1").glob("*.dcm")))
    again = node.storage / "reviews" / "again" / "RS.dcm"
    node.write_down("ID1", series.SeriesInstanceUID, node.storage / "spool" / "incoming" / "ct1", again, {})
    node.came_back("ID5", 5)
    node.forget()
    data, report = node.data()
    assert len(data.names()) == 1
    assert codes(report) == [
        "ct.purged",
        "review.no-ct",
        "review.not-approved",
        "review.older",
        "review.set-deleted",
    ]


def test_who_is_kept_aside_stays_aside_whatever_comes(node):
    patients = [f"P{number}" for number in range(6)]
    for number, patient in enumerate(patients[:3]):
        node.came_back(patient, number + 1)
    shares = {"test": 0.5, "validation": 0.0, "train": 0.5}
    aside = {patient for patient in patients if part_of(("", patient), shares) == "test"}
    assert 0 < len(aside) < 6, "these six are on both sides"
    data, _ = node.data("first", keep_aside=0.5)
    assert len(data.names("test")) == len(aside.intersection(patients[:3]))
    for number, patient in enumerate(patients[3:], 4):
        node.came_back(patient, number)
    node.came_back(patients[0], 10)  # a second CT of the first patient
    data, _ = node.data("second", keep_aside=0.5)
    assert len({data.entry(name).patient for name in data.names("test")}) == len(aside)
    assert len(data.names()) == 7


def test_a_larger_share_keeps_those_of_a_smaller_one_and_shares_are_what_they_say():
    patients = [("", f"{number}") for number in range(4000)]
    small = {one for one in patients if part_of(one, {"test": 0.2, "validation": 0.1}) == "test"}
    large = {one for one in patients if part_of(one, {"test": 0.3, "validation": 0.1}) == "test"}
    assert small < large
    assert 0.18 < len(small) / 4000 < 0.22  # three standard deviations are .019
    parts = [part_of(one, {"test": 0.2, "validation": 0.1}) for one in patients]
    assert 0.085 < parts.count("validation") / 4000 < 0.115


def test_an_interrupted_run_goes_on_and_what_came_meanwhile_waits(node):
    for number in range(3):
        node.came_back(f"P{number}", number + 1)

    def stops(items, description):
        for number, item in enumerate(items):
            if description.startswith("drawing") and number == 2:
                raise KeyboardInterrupt
            yield item

    node.at = 0.0
    with pytest.raises(KeyboardInterrupt):
        node.data(track=stops)
    node.at = 4e9  # after the moment at which the run began
    node.came_back("P9", 9)
    data, _ = node.data()
    assert len(data.names()) == 3
    again, _ = node.data("next")
    assert len(again.names()) == 3, "the one that is dated in the future is not here yet"


def test_a_name_that_stands_for_two_structures_is_left_to_the_list_of_names(node):
    node.came_back("P1", 1, Bladder="ROI 1")
    node.came_back("P2", 2, Rectum="ROI 1")
    data, report = node.data()
    assert sorted(len(data.entry(name).structures) for name in data.names()) == [3, 3]
    assert "roi.name-ambiguous" in codes(report)
