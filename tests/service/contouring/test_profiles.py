"""What ships for each planning system, what a site says otherwise, and what becomes of it in a set."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pydicom
import pytest
import yaml
from drawn_structures import GRID, ct_series, pelvis, segmentation

from service.config.reader import LoadedSite, parse
from service.config.tps_profile import ProfileRules, TpsProfile
from service.contouring.contoured_ct import ContouredCt, SetOrigin, site_time
from service.contouring.contours import contours_of
from service.contouring.point_budget import within_budget
from service.contouring.profiles import PROFILES, Profile, profile_key, profile_named, profile_of
from service.contouring.structure_names import rois_named
from service.dicom.patient_grids import ORIENTATIONS, patient_grid, rotated, stacked_grid
from service.errors import ConfigInvalid, StructureSetInvalid


@pytest.mark.parametrize("name", PROFILES)
def test_every_rule_of_every_profile_names_its_source(name):
    rules = {rule.name for rule in fields(Profile)} - {"name", "sources"}
    assert profile_named(name).sources.keys() == rules
    assert all(profile_named(name).sources.values())


def test_every_rule_may_be_said_otherwise():
    rules = {rule.name for rule in fields(Profile)} - {"name", "sources"}
    assert set(ProfileRules.model_fields) == rules


def test_every_profile_writes_implicit_vr_and_keyholes_unless_told_otherwise():
    for profile in PROFILES.values():
        assert (profile.transfer_syntax, profile.holes) == ("implicit", "keyhole")


def test_no_profile_lets_names_or_labels_be_longer_than_sixteen():
    for profile in PROFILES.values():
        assert (profile.name_characters, profile.label_characters) == (16, 16)


def test_a_destination_may_overrule_holes_and_transfer_syntax():
    profile = profile_named("eclipse", holes="xor", transfer_syntax="explicit")
    assert (profile.holes, profile.transfer_syntax, profile.predecessor) == ("xor", "explicit", False)


def test_an_unknown_profile_is_refused_with_those_that_are_known():
    own = {"ours": TpsProfile()}
    with pytest.raises(
        ConfigInvalid, match=r"found 'xio', allowed: generic, eclipse, raystation, monaco.*, ours"
    ):
        profile_named("xio", own=own)


CONFIG = {
    "node": {"minimum_slices": 4},
    "destinations": {
        "one": {"ae_title": "ONE", "host": "127.0.0.1", "port": 1, "profile": "ours"},
        "two": {"ae_title": "TWO", "host": "127.0.0.1", "port": 2, "profile": "ours", "holes": "xor",
                "rules": {"name_characters": 8, "predecessor": True}},
        "three": {"ae_title": "THREE", "host": "127.0.0.1", "port": 3, "profile": "monaco"},
    },
    "profiles": {"ours": {"based_on": "pinnacle", "label_characters": 12, "colors": {"Bladder": "#102030"}}},
    "protocols": {"p": {"model": "external@1.0", "structures": {"External": None}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> LoadedSite:
    return parse(yaml.safe_dump(CONFIG, sort_keys=False), tmp_path_factory.mktemp("site") / "config.yaml")


def test_a_sites_profile_is_one_that_ships_and_what_differs(site):
    one, two, three = (profile_of(each, site.site) for each in site.site.destinations.values())
    assert (one.name, one.alphabet, one.label_characters, one.name_characters) == (
        "ours",
        "identifier",
        12,
        16,
    )
    assert (two.holes, two.name_characters, two.predecessor, two.label_characters) == ("xor", 8, True, 12)
    assert one.sources["label_characters"] == "This site's configuration, profiles.ours"
    assert one.sources["alphabet"] == PROFILES["pinnacle"].sources["alphabet"]
    assert three == PROFILES["monaco"]


def test_sets_by_other_rules_are_other_sets(site):
    one, two, three = (profile_of(each, site.site) for each in site.site.destinations.values())
    keys = {profile_key(each) for each in (one, two, three)}
    assert len(keys) == 3
    assert profile_key(three) == "monaco-keyhole-implicit"  # as long as the rules are those that ship
    longer = profile_named("monaco", rules=ProfileRules(tolerance_mm=0.05))
    assert profile_key(longer).startswith("monaco-keyhole-implicit-")
    assert profile_key(profile_named("ours", own={"ours": TpsProfile()})) != "ours-keyhole-implicit"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"destinations": {"x": {"ae_title": "X", "host": "h", "port": 1, "profile": "ecl1pse"}}},
         "destinations.x.profile: found 'ecl1pse', which is no profile; did you mean eclipse?"),
        ({"profiles": {"Eclipse": {}}}, "profiles.Eclipse: 'Eclipse' ships with the program; choose another name"),
        ({"profiles": {"ours": {"name_characters": 40}}}, "profiles.ours.name_characters: found 40"),
        ({"profiles": {"ours": {"based_on": "xio"}}}, "profiles.ours.based_on: found 'xio'; allowed: generic, eclipse"),
        ({"profiles": {"ours": {"alphabet": "latin"}}}, "allowed: charset, ascii or identifier"),
    ],
)  # fmt: skip
def test_mistakes_in_profiles_are_named(change, said, tmp_path):
    with pytest.raises(ConfigInvalid) as refused:
        parse(yaml.safe_dump(CONFIG | change), tmp_path / "config.yaml")
    assert any(said in mistake for mistake in refused.value.mistakes), refused.value.mistakes


def contoured(folder, loaded: LoadedSite, grid=GRID, structures=None, **options) -> ContouredCt:
    made = segmentation(pelvis(grid) if structures is None else structures)
    series = ct_series(folder, grid, **options)
    return ContouredCt(series, made, loaded.site.protocols["p"], rois_named(made.structures))


def dataset(done: ContouredCt, loaded: LoadedSite, profile: Profile) -> pydicom.Dataset:
    encoded = done.structure_set(loaded, profile, SetOrigin("a job", site_time(loaded, 0.0)))
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(encoded))


def by_name(ds: pydicom.Dataset) -> dict[str, pydicom.Dataset]:
    return {
        str(roi.ROIName): drawn
        for roi, drawn in zip(ds.StructureSetROISequence, ds.ROIContourSequence, strict=True)
    }


def test_names_labels_and_colours_are_the_profiles(tmp_path, site):
    """Two femoral heads in eight characters keep their sides; a set reads back by the same rules."""
    done = contoured(tmp_path, site)
    _, profile, _ = (profile_of(each, site.site) for each in site.site.destinations.values())
    ds = dataset(done, site, profile)
    found = by_name(ds)
    assert set(found) == {"External", "Bladder", "Rectum", "Femur_L", "Femur_R", "Spine", "Uterus"}
    assert list(found["Bladder"].ROIDisplayColor) == [16, 32, 48]
    assert len(ds.StructureSetLabel) <= 12


def test_names_in_the_letters_of_identifiers_stay_different(tmp_path, site):
    done = contoured(tmp_path, site)
    rois = [r for r in done.rois if r.structure in ("Bladder", "Rectum")]
    names = iter(("Bläse (1)", "Blase:1/"))
    renamed = tuple(type(r)(r.structure, next(names), r.color, r.keeps_holes, r.known) for r in rois)
    made = segmentation({r.structure: done.segmentation.structures[r.structure] for r in rois})
    ds = dataset(ContouredCt(done.series, made, done.protocol, renamed), site, profile_named("pinnacle"))
    assert [str(roi.ROIName) for roi in ds.StructureSetROISequence] == ["Blase__1_", "Blase_1_"]


@pytest.mark.parametrize("what", ["points_per_contour", "points_per_set"])
def test_points_stay_within_the_budget_and_the_set_reads_back(what, tmp_path, site):
    done = contoured(tmp_path, site)
    whole = by_name(dataset(done, site, PROFILES["generic"]))
    counts = [int(one.NumberOfContourPoints) for drawn in whole.values() for one in drawn.ContourSequence]
    most = max(counts) * 2 // 3 if what == "points_per_contour" else sum(counts) * 2 // 3
    ds = dataset(done, site, profile_named("generic", rules=ProfileRules(**{what: most})))
    fewer = [
        int(one.NumberOfContourPoints) for drawn in by_name(ds).values() for one in drawn.ContourSequence
    ]
    assert len(fewer) == len(counts)
    assert (max(fewer) if what == "points_per_contour" else sum(fewer)) <= most


def test_a_budget_that_cannot_be_kept_is_refused(site):
    contours = contours_of(segmentation(pelvis()), GRID)
    with pytest.raises(StructureSetInvalid) as refused:
        within_budget(contours, profile_named("generic", rules=ProfileRules(points_per_set=50)))
    assert refused.value.code == "structure-set.too-many-points"
    assert "Raise points_per_set" in refused.value.sentence


def test_a_budget_that_would_change_voxels_is_refused_and_says_what_to_do(tmp_path, site):
    """The read-back finds it; what is at fault is the budget and not the program."""
    done = contoured(tmp_path, site)
    contours = contours_of(done.segmentation, GRID, keep_holes=["Spine"])
    points = sum(len(one.pixels) for of_one in contours.structures.values() for one in of_one)
    with pytest.raises(StructureSetInvalid) as refused:
        dataset(done, site, profile_named("generic", rules=ProfileRules(points_per_set=points // 2)))
    assert refused.value.code == "structure-set.too-many-points"
    assert "enclose other voxels than the segmentation" in refused.value.sentence


def test_simplifying_moves_contours_no_further_than_it_says():
    contours = contours_of(segmentation(pelvis()), GRID)
    most = max(len(one.pixels) for one in contours.structures["External"]) // 2
    fewer, moved_mm = within_budget(
        contours, profile_named("generic", rules=ProfileRules(points_per_contour=most))
    )
    assert 0 < moved_mm <= 0.5
    for before, after in zip(contours.structures["External"], fewer.structures["External"], strict=True):
        ends = after.points_lps_mm
        starts = np.roll(ends, 1, axis=0)
        for point in before.points_lps_mm:
            along = np.clip(((point - starts) * (ends - starts)).sum(1) / ((ends - starts) ** 2).sum(1), 0, 1)
            assert (
                np.linalg.norm(starts + along[:, None] * (ends - starts) - point, axis=1).min()
                <= moved_mm + 1e-9
            )


def test_oblique_slices_are_refused_where_the_receiver_takes_axial_ones_alone(tmp_path, site):
    grid = stacked_grid(
        rotated(ORIENTATIONS["HFS"], (1, 0, 0), 4.0),
        np.arange(12) * 3.0,
        shape_yx=(56, 60),
        spacing_yx_mm=(1.2, 0.9),
    )
    series = ct_series(tmp_path / "probe", grid)
    done = contoured(tmp_path / "ct", site, series.grid)
    with pytest.raises(StructureSetInvalid) as refused:
        dataset(done, site, PROFILES["monaco"])
    assert (refused.value.code, "4.0 degrees off" in refused.value.sentence) == (
        "structure-set.not-axial",
        True,
    )
    assert dataset(done, site, PROFILES["eclipse"]).Modality == "RTSTRUCT"
    assert (
        dataset(done, site, profile_named("monaco", rules=ProfileRules(axial_only=False))).Modality
        == "RTSTRUCT"
    )


@pytest.mark.parametrize(("position", "warns"), [("HFS", False), ("FFP", True)])
def test_other_positions_than_supine_are_said_where_they_are_prone_to_error(position, warns, tmp_path, site):
    grid = patient_grid(position, shape_zyx=GRID.shape_zyx, spacing_zyx_mm=(3.0, 1.2, 0.9))
    done = contoured(tmp_path, site, grid, patient_position=position)
    text = str(dataset(done, site, PROFILES["pinnacle"]).StructureSetDescription)
    assert ("check left and right, head and feet" in text) == warns


def test_holes_as_rings_are_contours_within_contours(tmp_path, site):
    done = contoured(tmp_path, site)
    spine = by_name(dataset(done, site, profile_named("generic", holes="rings")))["Spine"].ContourSequence
    kinds = {str(one.ContourGeometricType) for one in spine}
    assert kinds == {"CLOSED_PLANAR"}
    assert len(spine) > len({str(one.ContourImageSequence[0].ReferencedSOPInstanceUID) for one in spine})
