"""The file that ships works as it is, and says what an administrator must decide."""

from __future__ import annotations

import pytest

from models.cards.catalog import find_bundle
from service.config.advice import warnings_of
from service.config.reader import LoadedSite, load
from service.config.route_section import Route
from service.config.site import Node


@pytest.fixture(scope="module")
def shipped(repository) -> LoadedSite:
    return load(repository / "config.yaml")


def test_the_file_that_ships_has_no_mistakes_and_nothing_that_will_not_work(shipped):
    assert warnings_of(shipped) == ()


@pytest.mark.parametrize("protocol", ["external", "pelvis-ct"])
def test_each_shipped_protocol_lists_every_structure_of_its_model(shipped, protocol):
    card = find_bundle(shipped.site.protocols[protocol].model)
    assert list(shipped.site.protocols[protocol].structures) == list(card.structures)


def test_each_shipped_structure_has_a_colour_of_its_own(shipped):
    structures = shipped.site.protocols["pelvis-ct"].structures
    assert len({structure.color for structure in structures.values()}) == len(structures)


def test_the_shipped_node_listens_to_this_machine_only(shipped):
    assert shipped.site.node.bind == "127.0.0.1"


def test_every_default_is_a_value_that_the_file_could_hold(read):
    assert read("node: {}\nroutes: []\n").site.node == Node()


def test_a_site_does_not_change_after_reading(shipped):
    with pytest.raises(ValueError, match="frozen"):
        shipped.site.node.port = 1  # type: ignore[misc]


def test_sections_made_by_programs_take_ordinary_values():
    route = Route(name="x", when={"SliceThickness": 3, "Rows": [512, 256]}, contour="a", mode="send")
    assert route.when == {"SliceThickness": 3, "Rows": [512, 256]}


def test_a_sender_may_pause_for_a_minute_within_an_association():
    assert Node().network_timeout_seconds >= 2 * 60
