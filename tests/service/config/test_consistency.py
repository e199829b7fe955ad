"""Names that are used must be declared; names that are declared must be told apart."""

from __future__ import annotations

import pytest


def only(found):
    assert len(found) == 1, found
    return found[0]


def test_an_unknown_protocol_gets_a_suggestion(edited, mistakes):
    assert only(mistakes(edited("contour: external", "contour: extrenal"))) == (
        "config.yaml:14: routes[0].contour: found 'extrenal', which is no protocol of this file; "
        "did you mean external?; allowed: external"
    )


def test_an_unknown_destination_gets_a_suggestion(edited, mistakes):
    found = only(mistakes(edited("send_to: [tps]", "send_to: [tsp, sender]")))
    assert found.startswith("config.yaml:15: routes[0].send_to[0]: found 'tsp', which is no destination")
    assert "did you mean tps?; allowed: tps or sender" in found


@pytest.mark.parametrize("title", ["SCANER", "'!SCANER'", "[SCANNER, SCANER]"])
@pytest.mark.parametrize("part", ["when", "unless"])
def test_an_unknown_sender_in_a_route_gets_a_suggestion(title, part, edited, mistakes):
    found = only(mistakes(edited("when: {Modality: CT}", f"{part}: {{calling_ae: {title}}}")))
    assert "'SCANER', which is no sender of this file; did you mean SCANNER?; allowed: SCANNER" in found


def test_a_called_ae_that_is_not_ours_gets_a_suggestion(edited, mistakes, read):
    found = only(mistakes(edited("{Modality: CT}", "{called_ae: DELINATE}")))
    assert "none of the node's AE titles (ae_title, also_called); did you mean DELINEATE?" in found
    text = edited("{Modality: CT}", "{called_ae: pelvis}").replace("port: 11112", "also_called: [PELVIS]")
    assert read(text)  # ignoring case, as routes match


def test_wildcards_in_ae_titles_are_no_names(edited, read):
    assert read(edited("{Modality: CT}", '{called_ae: "DEL*", calling_ae: "SCAN?ER"}'))


def test_senders_that_differ_in_case_only_are_ambiguous(edited, mistakes):
    found = only(mistakes(edited("SCANNER:", "scanner:\n  SCANNER:")))
    assert "senders.SCANNER: found 'SCANNER', the same AE title as on line 3 ignoring case" in found


def test_our_own_titles_must_differ(edited, mistakes):
    assert "node.also_called[0]" in only(mistakes(edited("port: 11112", "also_called: [delineate]")))


@pytest.mark.parametrize("name", ["TPS", "Tps"])
def test_destinations_that_differ_in_case_only_are_ambiguous(name, edited, mistakes):
    text = edited("destinations:\n", f"destinations:\n  {name}: {{ae_title: X, host: 10.0.0.1, port: 1}}\n")
    assert "the same name as on line 5 ignoring case" in only(mistakes(text))


def test_one_peer_under_two_names_is_refused(edited, mistakes):
    text = edited(
        "destinations:\n", "destinations:\n  other: {ae_title: tps, host: 127.0.0.1, port: 11113}\n"
    )
    assert "is the same peer as other, which would get every set twice" in only(mistakes(text))


def test_two_peers_with_one_ae_title_at_two_hosts_are_two(edited, read):
    assert read(
        edited("destinations:\n", "destinations:\n  other: {ae_title: TPS, host: 10.0.0.1, port: 11113}\n")
    )


def test_sender_is_no_name_for_a_destination(edited, mistakes):
    text = edited("destinations:\n", "destinations:\n  Sender: {ae_title: X, host: 10.0.0.1, port: 1}\n")
    assert "`sender` means the peer that sent the CT" in only(mistakes(text))


def test_two_routes_of_one_name_cannot_be_told_apart(good, mistakes):
    text = good + "  - {name: EVERYTHING, contour: external, mode: off}\n"
    assert "routes[1].name: found 'EVERYTHING', the name of the route on line 12" in only(mistakes(text))


@pytest.mark.parametrize("piece", ["contour: external", "send_to: [tps]"])
def test_naming_a_thing_twice_is_a_mistake(piece, edited, mistakes):
    key, _, value = piece.partition(": ")
    name = value.strip("[]")
    assert f"names {name} twice" in only(mistakes(edited(piece, f"{key}: [{name}, {name}]")))


def test_a_route_contours_at_least_one_protocol(edited, mistakes):
    assert "names no protocol; allowed: external" in only(
        mistakes(edited("contour: external", "contour: []"))
    )


@pytest.mark.parametrize("value", ["", "[]", "[[CT]]", "{present: true}", "{absent: maybe}", "[CT, {}]"])
def test_a_criterion_of_the_wrong_shape_says_what_is_allowed(value, edited, mistakes):
    found = only(mistakes(edited("{Modality: CT}", f"{{Modality: {value}}}")))
    assert found.startswith("config.yaml:13: routes[0].when.Modality")
    assert "{absent: true}" in found


def test_a_mistake_in_a_section_does_not_hide_those_of_others(edited, mistakes):
    text = edited("port: 11113", "port: x").replace("[tps]", "[tsp]").replace("Modality", "Modalty")
    assert len(mistakes(text)) == 3
