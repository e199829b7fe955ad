"""Several models for one CT, and what is made of their structures: one set, each ROI with its own origin."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from analytic_bundle import SPHERES, small_ct, write_bundle
from module_check import violations

from models.predictor import load as load_model
from models.volume import CtVolume, Finding
from service.config.reader import LoadedSite, parse
from service.contouring.contoured_ct import ContouredCt, SetOrigin, contour_ct
from service.contouring.profiles import profile_named
from service.contouring.several_models import makers_in_words
from service.errors import ModelRefused

GENERIC = profile_named("generic")
NOON = SetOrigin("job-1", datetime(2026, 1, 15, 12, tzinfo=UTC))
REFUSAL = "The CT shows no pelvis."


class TwoModels:
    """The model process's place: runs bundles in this process; those named refuse the CT."""

    findings: tuple[Finding, ...] = ()

    def __init__(self, *refuse: str) -> None:
        self.refuse = refuse
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.told: list[float] = []

    def segment(self, fill, grid, dtype, card, structures, *, deadline_seconds, progress=None):
        self.asked.append((card.reference, tuple(structures)))
        if card.name in self.refuse:
            raise ModelRefused("region.no-pelvis", REFUSAL)
        hu = np.empty(grid.shape_zyx, dtype)
        fill(hu)
        found = load_model(card, "cpu").segment(CtVolume(hu, grid), structures, progress)
        return replace(found, findings=(*found.findings, *self.findings))


def site_of(folder: Path, protocol: dict) -> LoadedSite:
    for name in ("first", "second"):
        if not (folder / "bundles" / name).exists():
            write_bundle(folder / "bundles" / name)
    config = {
        "node": {"bundles": [str(folder / "bundles")], "minimum_slices": 4},
        "protocols": {"p": protocol},
    }
    return parse(yaml.safe_dump(config), folder / "config.yaml")


BOTH = {
    "models": [
        {"model": "first@1.0", "structures": ["Bladder", "Rectum"], "if_refused": "leave_out"},
        {"model": "second@1.0"},
    ],
    "structures": {"Bladder": None, "Rectum": None, "Femur_Head_L": None},
    "derived": {
        "Bladder_PRV05": {"of": "Bladder", "margin": 5, "description": "for tests"},
        "zHeads": {"of": ["Femur_Head_L", "Femur_Head_R"], "ring": {"outer": 8}},
    },
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> LoadedSite:
    return site_of(tmp_path_factory.mktemp("site"), BOTH)


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_ct(tmp_path_factory.mktemp("ct"), 1, slices=24)


def contoured(ct: list[Path], site: LoadedSite, models: TwoModels) -> ContouredCt:
    return contour_ct(ct, site, site.site.protocols["p"], models, models.told.append)


def set_of(done: ContouredCt, site: LoadedSite) -> pydicom.Dataset:
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(done.structure_set(site, GENERIC, NOON)))


def test_each_model_is_asked_for_its_own_structures_and_for_those_that_others_are_made_of(ct, site):
    models = TwoModels()
    done = contoured(ct, site, models)
    assert models.asked == [
        ("first@1.0", ("Bladder", "Rectum")),
        ("second@1.0", ("Femur_Head_L", "Femur_Head_R")),
    ]
    assert list(done.volumes_cm3) == ["Bladder", "Rectum", "Femur_Head_L", "Bladder_PRV05", "zHeads"]
    assert done.volumes_cm3["Bladder_PRV05"] == pytest.approx(
        4 / 3 * np.pi * ((SPHERES["Bladder"][1] + 5) / 10) ** 3, rel=0.03
    )
    assert models.told == sorted(models.told)
    assert models.told[-1] == 1.0


def test_every_roi_names_the_model_that_gave_it(ct, site):
    ds = set_of(contoured(ct, site, TwoModels()), site)
    algorithms = {
        str(roi.ROIName): roi.ROIDerivationAlgorithmIdentificationSequence[0]
        for roi in ds.StructureSetROISequence
    }
    names = {name: str(one.AlgorithmName) for name, one in algorithms.items()}
    assert names == {
        "Bladder": "first", "Rectum": "first", "Femur_Head_L": "second", "Bladder_PRV05": "derived",
        "zHeads": "derived",
    }  # fmt: skip
    assert list(ds.SoftwareVersions)[1:] == ["first 1.0", "second 1.0"]
    assert {str(roi.ROIGenerationAlgorithm) for roi in ds.StructureSetROISequence} == {"AUTOMATIC"}
    prv = ds.StructureSetROISequence[3]
    assert prv.ROIDescription.startswith("for tests. Derived from Bladder: margin 5 mm. ")
    assert prv.DerivationCodeSequence[0].CodeValue == "123104"  # Morphological Operations
    assert "DerivationCodeSequence" not in ds.StructureSetROISequence[0]
    observed = ds.RTROIObservationsSequence[3]
    assert (observed.RTROIInterpretedType, observed.ROIObservationLabel) == ("AVOIDANCE", "Bladder_PRV05")
    assert observed.RTROIIdentificationCodeSequence[0].CodeMeaning == "Planning Organ At Risk Volume"
    assert ds.RTROIObservationsSequence[4].RTROIInterpretedType == "CONTROL"


def test_the_set_is_valid_by_the_modules_of_the_standard(ct, site):
    assert violations(set_of(contoured(ct, site, TwoModels()), site)) == ()


@pytest.mark.peer
def test_dciodvfy_finds_nothing_in_it(ct, site, tmp_path):
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    file = tmp_path / "rtstruct.dcm"
    file.write_bytes(contoured(ct, site, TwoModels()).structure_set(site, GENERIC, NOON))
    said = subprocess.run([dciodvfy, "-new", str(file)], capture_output=True, text=True, check=False).stderr
    assert "RTStructureSet" in said
    assert [line for line in said.splitlines() if line.startswith(("Error", "Warning"))] == []


def test_the_job_keeps_which_model_gave_what(ct, site):
    said = [each.sentence for each in makers_in_words(contoured(ct, site, TwoModels()).segmentation)]
    assert said[0].startswith("Bladder, Rectum: first 1.0, sha256 ")
    assert said[1].startswith("Femur_Head_L: second 1.0, sha256 ")


def test_a_model_that_refuses_is_left_out_where_the_protocol_says_so(ct, site):
    """And what is made of its structures too; the set says so once and no other model steps in."""
    done = contoured(ct, site, TwoModels("first"))
    assert list(done.volumes_cm3) == ["Femur_Head_L", "zHeads"]
    ds = set_of(done, site)
    text = str(ds.StructureSetDescription)
    assert text.count(f"first@1.0 refused this CT, so Bladder, Rectum are left out: {REFUSAL}") == 1
    assert "Bladder_PRV05 is left out: Bladder was not found or was left out." in text
    assert "Not found" not in text
    assert list(ds.SoftwareVersions)[1:] == ["second 1.0"]


def test_a_model_that_refuses_refuses_the_set_where_nothing_else_is_said(ct, site):
    with pytest.raises(ModelRefused, match=REFUSAL) as refused:
        contoured(ct, site, TwoModels("second"))
    assert refused.value.code == "region.no-pelvis"


def test_where_all_refuse_there_is_no_set(ct, tmp_path):
    models = [{"model": "first@1.0", "structures": ["Bladder"], "if_refused": "leave_out"}]
    models += [{"model": "second@1.0", "if_refused": "leave_out"}]
    site = site_of(tmp_path, {"models": models, "structures": {"Bladder": None, "Rectum": None}})
    with pytest.raises(ModelRefused) as refused:
        contoured(ct, site, TwoModels("first", "second"))
    assert refused.value.code == "model.all-refused"


def test_only_what_comes_from_an_unvalidated_model_says_so_and_the_set_does(ct, site):
    done = contoured(ct, site, TwoModels())
    made_by = {
        name: replace(one, validated=one.model == "first") for name, one in done.segmentation.made_by.items()
    }
    ds = set_of(replace(done, segmentation=replace(done.segmentation, made_by=made_by)), site)
    warned = {
        str(roi.ROIName): "NOT FOR CLINICAL USE" in roi.ROIDescription for roi in ds.StructureSetROISequence
    }
    assert (warned["Bladder"], warned["Femur_Head_L"]) == (False, True)
    assert str(ds.StructureSetDescription).startswith("NOT FOR CLINICAL USE")
    assert ds.StructureSetLabel.startswith("NOT CLINICAL")


def test_findings_about_structures_that_are_not_sent_stay_behind(ct, site):
    class Says(TwoModels):
        findings = (Finding("a", "Head.", "Femur_Head_R"), Finding("b", "Bladder.", "Bladder"))

    sentences = [each.sentence for each in contoured(ct, site, Says()).segmentation.findings]
    assert "Head." not in sentences
    assert {"Bladder.", "It is made of Bladder: Bladder.", "It is made of Femur_Head_R: Head."} <= set(
        sentences
    )
