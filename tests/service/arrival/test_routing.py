"""Which routes a series takes, which jobs they make, and that no patient value is ever said."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.valuerep import PersonName

from service.arrival.routing import Decision, keywords_to_read, route
from service.backlog.records import Mode
from service.config.reader import LoadedSite, load, parse
from service.errors import SeriesRefused

FILE = """\
node: {ae_title: DELINEATE, also_called: [PELVIS]}
senders:
  ECLIPSE: {port: 104, host: tps.example}
  SCANNER:
  PACS: {port: 104}
destinations:
  tps: {ae_title: TPS, host: 10.0.0.1, port: 104}
  archive: {ae_title: ARCHIVE, host: 10.0.0.2, port: 104}
  back: {ae_title: ECLIPSE, host: tps.example, port: 104}
protocols:
  external: {model: external@1.0}
  pelvis-ct: {model: pelvis-ct@2.0, allow_unvalidated: true}
routes:
"""


def site(*routes: str) -> LoadedSite:
    """The file with these routes; each a flow mapping without name unless it has one."""
    lines = [
        f"  - {{{'' if 'name:' in text else f'name: r{index}, '}{text}}}\n"
        for index, text in enumerate(routes)
    ]
    return parse(FILE + "".join(lines), Path("config.yaml"), check_bundles=False)


def ct(n: int = 5, **changed: object) -> list[Dataset]:
    """Headers of an axial CT; a tuple gives slice by slice, None leaves out."""
    headers = []
    for index in range(n):
        ds = Dataset()
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.Modality = "CT"
        ds.StudyDescription = "Canary Pelvis 2026"
        ds.SliceThickness = "3"
        ds.PatientName = "Canary^Patient"
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [0, 0, 3 * index]
        for keyword, value in changed.items():
            one = value[index] if isinstance(value, tuple) else value
            if one is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, one)
        headers.append(ds)
    return headers


def decide(loaded: LoadedSite, headers: list[Dataset], calling="SCANNER", called="DELINEATE") -> Decision:
    return route(headers, calling, called, loaded)


def taken(criteria: str, headers: list[Dataset] | None = None, **associated: str) -> bool:
    """Whether a route with these criteria takes the series."""
    decision = decide(site(f"{criteria}, contour: external, mode: send"), headers or ct(), **associated)
    return bool(decision.jobs)


# --- criteria -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criteria", "is_taken"),
    [
        ("when: {Modality: CT}", True),
        ("when: {Modality: ct}", True),
        ("when: {Modality: MR}", False),
        ('when: {StudyDescription: "*pelvis*"}', True),
        ("when: {StudyDescription: pelvis}", False),
        ('when: {Modality: CT, StudyDescription: "*thorax*"}', False),
        ('when: {StudyDescription: ["*thorax*", "*pelvis*"]}', True),
        ('when: {StudyDescription: "!*pelvis*"}', False),
        ('when: {SliceThickness: "<=5"}', True),
        ('when: {SliceThickness: "<3"}', False),
        ('when: {SliceThickness: "2..5"}', True),
        ("when: {ImageType: AXIAL}", True),
        ("unless: {ImageType: [CBCT, AXIAL]}", False),
        ("unless: {ImageType: [CBCT, MIP]}", True),
        ("when: {BodyPartExamined: PELVIS}", False),
        ('when: {BodyPartExamined: "!PELVIS"}', False),
        ("unless: {BodyPartExamined: PELVIS}", True),
        ("when: {BodyPartExamined: {absent: true}}", True),
        ("when: {BodyPartExamined: [PELVIS, {absent: true}]}", True),
        ("when: {Modality: {absent: true}}", False),
        ("when: {Modality: {absent: false}}", True),
        ("when: {PatientName: canary^patient}", True),
        ("when: {PatientName: '*phantom*'}", False),
        ("when: {}", True),
    ],
)
def test_a_route_is_taken_if_all_of_when_and_nothing_of_unless_matches(criteria, is_taken):
    assert taken(criteria) is is_taken


def test_an_empty_attribute_is_an_absent_one():
    headers = ct(StudyDescription="  ")
    assert not taken('when: {StudyDescription: "*"}', headers)
    assert taken("when: {StudyDescription: {absent: true}}", headers)


def test_names_of_persons_compare_as_text_without_trailing_delimiters():
    assert taken("when: {PatientName: doe^jane}", ct(PatientName=PersonName("Doe^Jane^^^")))
    assert taken(
        'when: {PatientName: "*山田*"}', ct(PatientName=PersonName("Yamada^Tarou=山田^太郎=やまだ^たろう"))
    )


@pytest.mark.parametrize(
    ("criteria", "calling", "called", "is_taken"),
    [
        ("when: {calling_ae: SCANNER}", "SCANNER ", "DELINEATE", True),
        ("when: {calling_ae: scanner}", "SCANNER", "DELINEATE", True),
        ("when: {calling_ae: SCANNER}", "PACS", "DELINEATE", False),
        ("when: {calling_ae: [PACS, ECLIPSE]}", "PACS", "DELINEATE", True),
        ('when: {calling_ae: "!PACS"}', "PACS", "DELINEATE", False),
        ("when: {called_ae: PELVIS}", "SCANNER", "PELVIS", True),
        ("when: {called_ae: PELVIS}", "SCANNER", "DELINEATE", False),
        ("unless: {calling_ae: PACS}", "PACS", "DELINEATE", False),
        ('when: {calling_ae: "*"}', "", "DELINEATE", False),
    ],
)
def test_ae_titles_are_criteria_too(criteria, calling, called, is_taken):
    assert taken(criteria, calling=calling, called=called) is is_taken


def test_headers_as_they_come_from_a_file_are_read_the_same():
    buffer = DicomBytesIO()
    ds = ct(1)[0]
    ds.save_as(buffer, implicit_vr=True, little_endian=True)
    buffer.seek(0)
    header = dcmread(buffer, force=True)
    assert taken(
        'when: {Modality: CT, SliceThickness: "<=3", ImageType: axial, PatientName: canary*}', [header]
    )


# --- slices that disagree -----------------------------------------------------------------------


def test_slices_that_disagree_on_a_routed_attribute_are_refused_without_its_value():
    headers = ct(
        StudyDescription=("Canary Pelvis", "Canary Pelvis", "Canary Thorax", "Canary Pelvis", "Canary Pelvis")
    )
    with pytest.raises(SeriesRefused) as refused:
        taken('when: {StudyDescription: "*pelvis*"}', headers)
    assert refused.value.code == "routing.slices-disagree"
    assert "StudyDescription" in refused.value.sentence
    assert "canary" not in refused.value.sentence.casefold()


def test_slices_of_which_one_lacks_a_routed_attribute_are_refused():
    headers = ct(StudyDescription=("Pelvis", "Pelvis", None, "Pelvis", "Pelvis"))
    with pytest.raises(SeriesRefused, match="StudyDescription"):
        taken('when: {StudyDescription: "*pelvis*"}', headers)


def test_texts_that_all_match_and_still_differ_are_refused():
    with pytest.raises(SeriesRefused, match="StudyDescription"):
        taken('when: {StudyDescription: "*pelvis*"}', ct(2, StudyDescription=("pelvis A", "pelvis B")))


def test_case_and_blanks_at_the_ends_are_no_disagreement():
    assert taken('when: {StudyDescription: "*pelvis*"}', ct(2, StudyDescription=("Pelvis ", "PELVIS")))


def test_blocks_of_slices_of_two_thicknesses_agree_as_long_as_all_match():
    blocks = ct(4, SliceThickness=("2.5", "2.5", "5", "5"))
    assert taken('when: {SliceThickness: "<=5"}', blocks)
    assert not taken('when: {SliceThickness: ">5"}', blocks)
    with pytest.raises(SeriesRefused, match="SliceThickness"):
        taken('when: {SliceThickness: "<=3"}', blocks)


def test_slices_that_disagree_on_what_leaves_out_are_refused():
    headers = ct(2, ImageType=(["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "CBCT"]))
    with pytest.raises(SeriesRefused, match="ImageType"):
        taken("unless: {ImageType: CBCT}", headers)


def test_slices_may_differ_in_what_no_criterion_matches():
    headers = ct(2, ImageType=(["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "SECONDARY", "AXIAL"]))
    assert taken("unless: {ImageType: [LOCALIZER, CBCT]}", headers)


def test_slices_may_differ_in_what_no_route_asks_for():
    assert taken("when: {Modality: CT}", ct(2, StudyDescription=("pelvis", "thorax")))


def test_slices_may_differ_where_the_route_fails_anyway():
    headers = ct(2, StudyDescription=("pelvis", "thorax"))
    decision = decide(
        site(
            'when: {StudyDescription: "*pelvis*", calling_ae: PACS}, contour: pelvis-ct, mode: send',
            'when: {StudyDescription: "*pelvis*"}, contour: pelvis-ct, mode: off',
            "when: {Modality: CT}, contour: external, mode: send",
        ),
        headers,
    )
    assert [job.protocol for job in decision.jobs] == ["external"]


@pytest.mark.parametrize("criteria", ['when: {SliceThickness: "<=5"}', 'unless: {SliceThickness: ">5"}'])
@pytest.mark.parametrize(
    ("keyword", "vr", "value"), [("SliceThickness", "DS", b"canary"), ("Rows", "US", b"123")]
)
def test_an_attribute_that_cannot_be_read_is_refused_where_a_route_hangs_on_it(criteria, keyword, vr, value):
    headers = ct(2)
    for header in headers:
        header[keyword] = raw_element(keyword, vr, value)
    with pytest.raises(SeriesRefused) as refused:
        taken(criteria.replace("SliceThickness", keyword), headers)
    assert refused.value.code == "routing.attribute-unreadable"
    assert keyword in refused.value.sentence
    assert "canary" not in refused.value.sentence


def raw_element(keyword, vr, value):
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    tag = Tag(tag_for_keyword(keyword))
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


# --- localizers ---------------------------------------------------------------------------------


def test_a_localizer_is_set_aside_before_the_routes_are_asked():
    headers = ct()
    headers[2].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    headers[2].StudyDescription = "scout"
    decision = decide(site('when: {StudyDescription: "*pelvis*"}, contour: external, mode: send'), headers)
    assert decision.slices == (0, 1, 3, 4)
    assert decision.localizers == (2,)
    assert len(decision.jobs) == 1


def test_a_series_of_localizers_alone_is_ignored_and_no_error():
    headers = ct(2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    decision = decide(site("contour: external, mode: send"), headers)
    assert decision.only_localizers
    assert decision.jobs == ()


def test_a_series_without_a_route_is_no_error():
    decision = decide(site("when: {Modality: MR}, contour: external, mode: send"), ct())
    assert decision.jobs == ()
    assert not decision.only_localizers


# --- jobs ---------------------------------------------------------------------------------------


def test_every_route_that_matches_applies():
    decision = decide(
        site(
            "contour: external, send_to: [tps], mode: send",
            "when: {Modality: MR}, contour: external, send_to: [archive], mode: send",
            "contour: pelvis-ct, send_to: [archive], mode: hold, priority: 5",
        ),
        ct(),
    )
    assert [
        (job.protocol, job.destinations, job.mode, job.priority, job.routes) for job in decision.jobs
    ] == [
        ("external", ("tps",), Mode.SEND, 100, ("r0",)),
        ("pelvis-ct", ("archive",), Mode.HOLD, 5, ("r2",)),
    ]


def test_a_route_may_contour_several_protocols():
    decision = decide(site("contour: [external, pelvis-ct], send_to: [tps, archive], mode: send"), ct())
    assert [(job.protocol, job.destinations) for job in decision.jobs] == [
        ("external", ("tps", "archive")),
        ("pelvis-ct", ("tps", "archive")),
    ]


def test_two_routes_that_give_the_same_triple_count_once():
    decision = decide(
        site(
            "contour: external, send_to: [tps, archive], mode: send, priority: 50, when_sent_again: ignore",
            "contour: external, send_to: [archive, tps], mode: send, when_sent_again: contour_again",
        ),
        ct(),
    )
    (job,) = decision.jobs
    assert job.destinations == ("tps", "archive")
    assert job.priority == 50
    assert job.routes == ("r0", "r1")
    assert job.when_sent_again == "ignore"


@pytest.mark.parametrize(
    ("modes", "counts"),
    [
        (("send", "hold"), Mode.HOLD),
        (("hold", "send"), Mode.HOLD),
        (("send", "shadow"), Mode.SHADOW),
        (("hold", "shadow"), Mode.SHADOW),
        (("send", "off"), Mode.SEND),
        (("shadow", "off"), Mode.SHADOW),
    ],
)
def test_of_routes_that_disagree_the_more_careful_counts_and_off_has_no_say(modes, counts):
    loaded = site(*(f"contour: external, send_to: [tps], mode: {mode}" for mode in modes))
    (job,) = decide(loaded, ct()).jobs
    assert job.mode is counts


def test_a_route_made_more_careful_by_another_says_so():
    decision = decide(
        site("contour: external, send_to: [tps], mode: send", "contour: external, mode: hold"), ct()
    )
    assert (
        decision.reasons[0].sentence
        == "matches every series; but external is hold because another route says so"
    )
    assert decision.reasons[1].sentence == "matches every series"


def test_a_route_that_is_off_makes_no_job():
    decision = decide(site("contour: external, send_to: [tps], mode: off"), ct())
    assert decision.jobs == ()
    assert decision.reasons[0].sentence == "is off"


def test_back_to_the_sender_is_named_by_its_ae_title():
    loaded = site("contour: external, send_to: [sender, tps], mode: send")
    (job,) = decide(loaded, ct(), calling=" PACS ").jobs
    assert job.destinations == ("sender:PACS", "tps")


def test_a_sender_that_is_also_named_gets_the_set_once():
    loaded = site("contour: external, send_to: [sender, back], mode: send")
    (job,) = decide(loaded, ct(), calling="ECLIPSE").jobs
    assert job.destinations == ("back",)


def test_a_sender_is_known_by_the_address_it_called_from_if_it_names_no_host():
    lines = FILE.replace(
        "back: {ae_title: ECLIPSE, host: tps.example", "back: {ae_title: PACS, host: 10.0.0.9"
    )
    text = lines + "  - {name: r, contour: external, send_to: [sender, back], mode: send}\n"
    loaded = parse(text, Path("config.yaml"), check_bundles=False)
    (same,) = route(ct(), "PACS", "DELINEATE", loaded, "10.0.0.9").jobs
    (other,) = route(ct(), "PACS", "DELINEATE", loaded, "10.0.0.8").jobs
    assert (same.destinations, other.destinations) == (("back",), ("sender:PACS", "back"))


# --- reasons ------------------------------------------------------------------------------------


def test_reasons_name_keyword_and_pattern_and_never_a_value():
    decision = decide(
        site(
            'when: {Modality: CT, StudyDescription: "*pelvis*"}, contour: external, mode: send',
            'when: {StudyDescription: ["*thorax*", "*neck*"], BodyPartExamined: CHEST}, '
            "contour: external, mode: send",
            "unless: {ImageType: [AXIAL, CBCT]}, contour: external, mode: send",
            'when: {PatientName: "QA*"}, contour: external, mode: send',
        ),
        ct(),
    )
    assert [(reason.matched, reason.sentence) for reason in decision.reasons] == [
        (True, "Modality is 'CT'; StudyDescription is '*pelvis*'"),
        (False, "StudyDescription is not '*thorax* or *neck*'; BodyPartExamined is absent, wanted 'CHEST'"),
        (False, "unless: ImageType is 'AXIAL or CBCT'"),
        (False, "PatientName is not 'QA*'"),
    ]
    assert decision.reasons[1].keywords == ("StudyDescription", "BodyPartExamined")
    assert "canary" not in repr(decision).casefold()


def test_only_the_keywords_that_routes_ask_for_need_to_be_read():
    loaded = site(
        "when: {Modality: CT, calling_ae: PACS}, unless: {SeriesDescription: x}, contour: external, mode: off"
    )
    assert keywords_to_read(loaded) == (
        "ImageOrientationPatient", "ImageType", "Modality", "SeriesDescription", "SpecificCharacterSet",
    )  # fmt: skip


# --- the file that ships ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(repository) -> LoadedSite:
    return load(repository / "config.yaml", check_bundles=False)


def protocols(loaded: LoadedSite, **changed: object) -> list[str]:
    return [job.protocol for job in decide(loaded, ct(**changed), calling="ECLIPSE").jobs]


def test_shipped_a_pelvic_planning_ct_gets_both(shipped):
    assert protocols(shipped) == ["external", "pelvis-ct"]
    assert protocols(shipped, StudyDescription="Thorax") == ["external"]
    assert protocols(shipped, StudyDescription=None) == ["external"]


def test_shipped_the_model_that_saw_synthetic_data_waits_for_a_person(shipped):
    modes = {job.protocol: job.mode for job in decide(shipped, ct(), calling="ECLIPSE").jobs}
    assert modes == {"external": Mode.SEND, "pelvis-ct": Mode.HOLD}


@pytest.mark.parametrize(
    "description",
    [
        "CBCT pelvis", "kV_CBCT", "Cone Beam CT", "4D 30%", "pelvis 4DCT", "Gated, 50.0%", "T=10%", "30%",
        "Resp 0% Ex", "4D MIP", "ITV_MIP",
    ],
)  # fmt: skip
def test_shipped_cone_beam_ct_and_phases_of_a_4d_ct_are_left_out(description, shipped):
    for header in (headers := ct()):
        header.SeriesDescription = description
    assert decide(shipped, headers, calling="ECLIPSE").jobs == ()


@pytest.mark.parametrize(
    "description",
    [
        "Pelvis 3.0 B30f",
        "RT Planning pelvis",
        "AX 2.5MM",
        "",
        "hemipelvis",
        "Pelvis 14DEC2026",
        "portal venous phase",
        "DIBH gated",
    ],
)
def test_shipped_a_planning_ct_is_not_left_out(description, shipped):
    for header in (headers := ct()):
        header.SeriesDescription = description
    assert len(decide(shipped, headers, calling="ECLIPSE").jobs) == 2


def test_shipped_localizers_and_cone_beam_machines_are_left_out(shipped):
    assert decide(
        shipped, ct(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), calling="ECLIPSE"
    ).only_localizers
    assert protocols(shipped, ImageType=["ORIGINAL", "PRIMARY", "CBCT"]) == []
    for header in (headers := ct()):
        header.ManufacturerModelName = "On-Board Imager"
    assert decide(shipped, headers, calling="ECLIPSE").jobs == ()
