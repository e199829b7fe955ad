"""One CT by one protocol: what is asked for comes out, under UIDs that follow from the job, checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from analytic_bundle import SPHERES, STRUCTURES, small_ct, write_bundle

from models.predictor import load as load_model
from models.volume import CtVolume, Finding, StructureField
from service.config.reader import LoadedSite, parse
from service.contouring.contoured_ct import (
    ContouredCt,
    SetOrigin,
    card_of,
    contour_ct,
    limits_of,
    profile_key,
    site_time,
)
from service.contouring.profiles import profile_named
from service.errors import ModelRefused, StructureSetInvalid

NOON = SetOrigin("job-1", datetime(2026, 1, 15, 12, tzinfo=UTC))
GENERIC = profile_named("generic")


class ModelsHere:
    """The model process's place: runs the bundle in this process."""

    findings: tuple[Finding, ...] = ()

    def segment(self, fill, grid, dtype, card, structures, *, deadline_seconds, progress=None):
        hu = np.empty(grid.shape_zyx, dtype)
        fill(hu)
        found = load_model(card, "cpu").segment(CtVolume(hu, grid), structures, progress)
        return replace(found, findings=(*found.findings, *self.findings))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> LoadedSite:
    folder = tmp_path_factory.mktemp("site")
    write_bundle(folder / "bundles" / "analytic")
    config = {
        "node": {"bundles": [str(folder / "bundles")], "timezone": "Europe/Stockholm", "minimum_slices": 4},
        "protocols": {
            "all": {"model": "analytic@1.0", "label": "All", "structures": dict.fromkeys(STRUCTURES)},
            "one": {"model": "analytic@1.0", "label": "One", "structures": {"Bladder": {"name": "Blase"}}},
            "unvalidated": {"model": "pelvis-ct@2.0", "structures": {"Bladder": None}},
            "none": {"model": "no-such-bundle@1.0", "structures": {"Bladder": None}},
        },
    }
    return parse(yaml.safe_dump(config), folder / "config.yaml", check_bundles=False)


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_ct(tmp_path_factory.mktemp("ct"), 1, slices=20)


@pytest.fixture(scope="module")
def done(site: LoadedSite, ct: list[Path]) -> ContouredCt:
    return contour_ct(ct, site, site.site.protocols["all"], ModelsHere())


def test_volumes_are_those_of_the_shapes(done: ContouredCt) -> None:
    assert set(done.volumes_cm3) == set(STRUCTURES)
    for name, (_, radius) in SPHERES.items():
        assert done.volumes_cm3[name] == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.05)


def test_only_what_the_protocol_lists_comes_out(site: LoadedSite, ct: list[Path]) -> None:
    models = ModelsHere()
    models.findings = (
        Finding("a", "Rectum.", "Rectum"),
        Finding("b", "All."),
        Finding("c", "Bladder.", "Bladder"),
    )
    done = contour_ct(ct, site, site.site.protocols["one"], models)
    assert list(done.segmentation.structures) == ["Bladder"]
    sentences = [each.sentence for each in done.segmentation.findings]
    assert "Rectum." not in sentences
    assert {"All.", "Bladder."} <= set(sentences)
    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(done.structure_set(site, GENERIC, NOON)))
    assert [str(roi.ROIName) for roi in ds.StructureSetROISequence] == ["Blase"]
    assert "Bladder." in ds.StructureSetROISequence[0].ROIDescription


class FindsNothing(ModelsHere):
    """A model that withheld everything and says why."""

    findings = (Finding("structure.side-contradicts", "Bladder lies outside the body.", "Bladder"),)

    def segment(self, *arguments, **options):
        return replace(super().segment(*arguments, **options), structures={})


def test_a_model_that_finds_nothing_refuses_with_what_it_has_to_say(site: LoadedSite, ct: list[Path]) -> None:
    with pytest.raises(ModelRefused, match=r"found none.*Bladder lies outside the body\.") as refused:
        contour_ct(ct, site, site.site.protocols["one"], FindsNothing())
    assert refused.value.code == "model.nothing-found"


def test_the_same_origin_gives_the_same_bytes_and_another_profile_other_uids(
    site: LoadedSite, done: ContouredCt
) -> None:
    first, second = (done.structure_set(site, GENERIC, NOON) for _ in range(2))
    assert first == second
    uids = set()
    for profile in (GENERIC, profile_named("eclipse"), profile_named("generic", transfer_syntax="explicit")):
        ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(done.structure_set(site, profile, NOON)))
        uids |= {str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID)}
    other_job = done.structure_set(site, GENERIC, replace(NOON, key="job-2"))
    uids.add(str(pydicom.dcmread(pydicom.filebase.DicomBytesIO(other_job)).SOPInstanceUID))
    assert len(uids) == 7


def test_every_profile_has_a_key_of_its_own() -> None:
    profiles = [
        profile_named(name, holes=holes, transfer_syntax=syntax)
        for name in ("generic", "eclipse", "raystation")
        for holes in ("keyhole", "xor")
        for syntax in ("implicit", "explicit")
    ]
    assert len({profile_key(profile) for profile in profiles}) == 12


def test_a_field_a_slice_too_high_is_not_hidden_by_reading_it_back(
    site: LoadedSite, done: ContouredCt
) -> None:
    """The check is of the writer; here what it was made of and what it is compared with are told apart."""
    from service.contouring import contoured_ct

    moved = {
        name: StructureField(field.field, (field.corner_zyx[0] - 1, *field.corner_zyx[1:]))
        for name, field in done.segmentation.structures.items()
    }
    wrong = replace(done.segmentation, structures=moved)
    with pytest.MonkeyPatch.context() as patched:
        original = contoured_ct.contours_of
        patched.setattr(
            contoured_ct, "contours_of", lambda _, *rest, **words: original(wrong, *rest, **words)
        )
        with pytest.raises(StructureSetInvalid) as refused:
            done.structure_set(site, GENERIC, NOON)
    assert refused.value.code.startswith("read-back.")


def test_an_unvalidated_model_runs_with_permission_only(site: LoadedSite) -> None:
    protocol = site.site.protocols["unvalidated"]
    with pytest.raises(ModelRefused) as refused:
        card_of("pelvis-ct@2.0", protocol, ())
    assert refused.value.code == "model.unvalidated"
    assert not card_of("pelvis-ct@2.0", protocol.model_copy(update={"allow_unvalidated": True}), ()).validated


def test_a_bundle_that_is_not_there_is_refused(site: LoadedSite) -> None:
    with pytest.raises(ModelRefused):
        card_of("no-such-bundle@1.0", site.site.protocols["none"], ())


def test_the_sites_limits_and_time_zone_count(site: LoadedSite) -> None:
    assert limits_of(site).minimum_slices == 4
    assert site_time(site, 0.0).isoformat() == "1970-01-01T01:00:00+01:00"


def test_a_ct_that_contradicts_itself_warns_beside_every_contour(tmp_path: Path, site: LoadedSite) -> None:
    def prone(_: int, ds: pydicom.Dataset) -> pydicom.Dataset:
        ds.PatientPosition = "HFP"
        return ds

    files = small_ct(tmp_path, 2, slices=20, tweak=prone)
    done = contour_ct(files, site, site.site.protocols["all"], ModelsHere())
    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(done.structure_set(site, GENERIC, NOON)))
    for text in (ds.StructureSetDescription, *(roi.ROIDescription for roi in ds.StructureSetROISequence)):
        assert text.count("check left and right on the CT itself") == 1
