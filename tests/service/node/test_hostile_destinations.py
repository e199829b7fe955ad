"""Destinations that are asked by night and do other than they should: nothing of others is taken, nothing lasts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage
from retrieval_desk import ToldArchive
from review_desk import CONFIG, ReviewDesk

from service.config.reader import load
from service.node.destination_query import Asked, DestinationQuery


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ReviewDesk]:
    desk = ReviewDesk(tmp_path / "node")
    yield desk
    desk.ledger.close()


@pytest.fixture
def told(desk: ReviewDesk) -> Iterator[ToldArchive]:
    """Has one set of the study, edited by the clinic."""
    archive = ToldArchive(str(RTStructureSetStorage))
    archive.holds = [desk.edited(desk.job()).ds]
    yield archive
    archive.close()


@pytest.fixture
def query(desk: ReviewDesk, told: ToldArchive) -> DestinationQuery:
    config = yaml.safe_load(CONFIG)
    config["destinations"]["tps"] |= {"port": told.port, "timeout_seconds": 20}
    config["evaluation"] = {"query": {"destinations": ["tps"]}}
    (desk.folder / "config.yaml").write_text(yaml.safe_dump(config))
    loaded = load(desk.folder / "config.yaml", check_bundles=False)
    return DestinationQuery(lambda: loaded, desk.ledger, desk.spool)


def kept(desk: ReviewDesk) -> int:
    return len(list(desk.spool.structure_sets.glob("*.dcm")))


def changed(ds: Dataset, **values: str) -> Dataset:
    """The same with other values, sent byte for byte."""
    for keyword, value in values.items():
        tag, encoded = Tag(keyword), value.encode() + b"\0" * (len(value) % 2)
        ds[tag] = RawDataElement(tag, dictionary_VR(tag), len(encoded), encoded, 0, True, True)
    ds.set_original_encoding(True, True, ds._character_set)
    return ds


def test_an_honest_one(desk: ReviewDesk, told: ToldArchive, query: DestinationQuery) -> None:
    assert query.ask("tps") == Asked(found=1, new=1, fetched=1, answered=True)
    assert kept(desk) == 1


@pytest.mark.filterwarnings("ignore")  # pydicom's, of what a test makes on purpose
@pytest.mark.parametrize(
    "values",
    [
        {"StudyInstanceUID": "2.25.99"},
        {"SeriesInstanceUID": "2." + "5" * 63},
        {"SeriesInstanceUID": "2.25.9/../../etc"},
        {"Modality": "CT"},
    ],
)
def test_series_that_are_not_meant_are_not_asked_for(desk, told, query, values) -> None:
    told.answers = lambda level, asked: (changed(each, **values) for each in told._matches(level, asked))
    assert query.ask("tps") == Asked(answered=True)
    assert (len(told.asked), told.gets) == (1, 0)


@pytest.mark.filterwarnings("ignore")  # pydicom's, of what a test makes on purpose
@pytest.mark.parametrize(
    "values",
    [
        {"StudyInstanceUID": "2.25.99"},
        {"SeriesInstanceUID": "2.25.98"},
        {"SOPInstanceUID": "2.25." + "9" * 60},
    ],
)
def test_sets_that_are_not_meant_are_not_asked_for(desk, told, query, values) -> None:
    def answers(level, asked):
        for each in told._matches(level, asked):
            yield changed(each, **values) if level == "IMAGE" else each

    told.answers = answers
    assert query.ask("tps") == Asked(answered=True)
    assert (len(told.asked), told.gets) == (2, 0)


def test_answers_without_end_are_not_waited_for(desk, told, query, caplog) -> None:
    def endless(level, asked):
        while True:
            yield from told._matches(level, asked)

    told.answers = endless
    with caplog.at_level(logging.WARNING, "delineate"):
        assert query.ask("tps") == Asked()
    assert "review.too-many-answers" in caplog.messages
    assert told.gets == 0


def test_one_that_has_answered_all_night_is_asked_again_the_next(desk, told, query, monkeypatch) -> None:
    monkeypatch.setattr("service.node.destination_query._LONGEST_SECONDS", 0.0)
    assert query.ask("tps") == Asked()
    assert (len(told.asked), told.gets) == (1, 0)


def test_a_status_that_says_no_is_about_one_study(desk, told, query, caplog) -> None:
    def answers(level, asked):
        if level == "IMAGE":
            raise LookupError  # pynetdicom answers C311
        yield from told._matches(level, asked)

    told.answers = answers
    with caplog.at_level(logging.WARNING, "delineate"):
        assert query.ask("tps") == Asked(answered=True)
    assert "review.refused" in caplog.messages


def test_a_set_that_nobody_asked_for_is_refused(desk, told, query) -> None:
    told.gives = [[desk.edited().ds]]
    assert query.ask("tps") == Asked(found=1, new=1, fetched=0, answered=True)
    assert (told.gets, kept(desk)) == (1, 0)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_another_set_under_the_uid_that_was_asked_for_is_refused(desk, told, query, keyword) -> None:
    other = desk.edited()
    other.ds.SOPInstanceUID = told.holds[0].SOPInstanceUID
    other.ds.SeriesInstanceUID = told.holds[0].SeriesInstanceUID
    setattr(other.ds, keyword, "2.25.99")
    told.gives = [[other.ds]]
    assert query.ask("tps") == Asked(found=1, new=1, fetched=0, answered=True)
    assert (told.gets, kept(desk)) == (1, 0)


def test_one_that_says_it_has_sent_all_and_has_sent_nothing(desk, told, query) -> None:
    told.gives = [[0x0000]]
    assert query.ask("tps") == Asked(found=1, new=1, fetched=0, answered=True)
    told.gives = []
    assert query.ask("tps") == Asked(found=1, new=1, fetched=1, answered=True)
