"""A destination is reached in one way, and gets only what goes that way."""

from __future__ import annotations

import pytest

from service.config.advice import warnings_of

TPS = "tps: {ae_title: TPS, host: 127.0.0.1, port: 11113}"
WEB = "tps: {dicomweb: {url: https://archive/dicom-web%s}%s}"


def only(found):
    assert len(found) == 1, found
    return found[0]


def test_a_destination_gets_the_structure_set_unless_told_otherwise(edited, read):
    (at,) = read(edited(TPS, TPS)).site.destinations.values()
    assert [kind.value for kind in at.kinds] == ["rtstruct"]
    assert at.address == "TPS@127.0.0.1:11113"


def test_objects_by_c_store_by_stow_and_to_a_folder(edited, read):
    dimse = TPS.replace("port: 11113", "port: 11113, objects: [rtstruct, segmentation, preview-pdf]")
    (at,) = read(edited(TPS, dimse)).site.destinations.values()
    assert [kind.value for kind in at.kinds] == ["rtstruct", "segmentation", "preview-pdf"]
    (at,) = read(edited(TPS, WEB % ("", ", objects: [segmentation-labelmap]"))).site.destinations.values()
    assert at.address == "https://archive/dicom-web/studies"
    (at,) = read(edited(TPS, "tps: {folder: ./out, objects: [nifti, rtstruct]}")).site.destinations.values()
    assert at.address == "./out"


@pytest.mark.parametrize(
    "url", ["https://a/dicom-web", "https://a/dicom-web/", "https://a/dicom-web/studies"]
)
def test_the_address_of_studies_is_found(url, edited, read):
    (at,) = read(edited(TPS, f"tps: {{dicomweb: {{url: {url}}}}}")).site.destinations.values()
    assert at.dicomweb.studies_url == "https://a/dicom-web/studies"


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        (TPS.replace("}", ", objects: [nifti]}"), "needs a destination with `folder`"),
        (WEB % ("", ", objects: [nifti-structures]"), "needs a destination with `folder`"),
        (TPS.replace("}", ", objects: []}"), "lists nothing"),
        (TPS.replace("}", ", objects: [preview, preview]}"), "names preview twice"),
        (TPS.replace("}", ", objects: [segmentaton]}"), "found 'segmentaton'"),
        (TPS.replace("}", ", folder: ./out}"), "in more than one way"),
        ("tps: {folder: ./out, dicomweb: {url: https://a/b}}", "in more than one way"),
        (WEB % ("", ", storage_commitment: true"), "neither STOW-RS nor a folder can commit itself"),
        ("tps: {folder: ./out, storage_commitment: true}", "neither STOW-RS nor a folder can commit itself"),
        (WEB % ("", ", calling_ae_title: ME"), "is for a Storage SCP"),
        ("tps: {folder: ./out, tls: {fingerprints: []}}", "reached over the network"),
        (WEB % (", token: '${T}', token_file: t", ""), "both token and token_file"),
        (WEB % (", token: '${T}', user: u, password: '${P}'", ""), "a token and a user"),
        (WEB % (", user: u", ""), "one of user and password"),
        (WEB % (", token: secret", ""), "this file is kept with every job and holds no secret"),
        ("tps: {dicomweb: {url: 'https://u:p@a/b'}}", "a URL without password"),
        ("tps: {ae_title: TPS, host: 127.0.0.1}", "destinations.tps.port: is missing"),
    ],
)
def test_what_cannot_work_is_refused_before_the_node_starts(destination, said, edited, mistakes):
    found = mistakes(edited(TPS, destination))
    assert any(said in mistake for mistake in found), found


def test_a_folder_cannot_be_asked_for_reviewed_sets(edited, mistakes):
    text = edited(TPS, "tps: {folder: ./out}") + "\nevaluation: {query: {destinations: [tps]}}\n"
    assert any("is no Storage SCP" in mistake for mistake in mistakes(text))


def test_two_names_for_one_folder_or_service_are_one_too_many(edited, mistakes):
    for place in ("folder: ./out", "dicomweb: {url: https://a/b}"):
        both = f"tps: {{{place}}}\n  other: {{{place}}}"
        assert "is the same peer as tps" in only(mistakes(edited(TPS, both)))


def test_what_will_not_work_is_warned_of(edited, read, tmp_path, monkeypatch):
    monkeypatch.delenv("NOT_SET_HERE", raising=False)

    def said(destination):
        loaded = read(edited(TPS, destination))
        return [each.sentence for each in warnings_of(loaded) if "tps" in each.key]

    (tmp_path / "there").mkdir()
    assert said("tps: {folder: ./there}") == []
    assert "make or mount it" in only(said("tps: {folder: ./absent}"))
    plain = "tps: {dicomweb: {url: 'http://127.0.0.1/x', token_file: absent}}"
    assert sorted(said(plain)) == [
        "cannot be read by this user; nothing would be sent",
        "signs in without TLS: the secret crosses the network in the clear; use https",
    ]
    assert "is not set here" in only(said(WEB % (", token: '${NOT_SET_HERE}'", "")))
