from __future__ import annotations

from dataclasses import fields

import pytest

from service.contouring.profiles import PROFILES, Profile, profile_named
from service.errors import ConfigInvalid


@pytest.mark.parametrize("name", ["generic", "eclipse", "raystation"])
def test_every_rule_of_every_profile_names_its_source(name):
    rules = {rule.name for rule in fields(Profile)} - {"name", "sources"}
    assert profile_named(name).sources.keys() == rules


def test_every_profile_writes_implicit_vr_and_keyholes_unless_told_otherwise():
    for profile in PROFILES.values():
        assert (profile.transfer_syntax, profile.holes) == ("implicit", "keyhole")


def test_a_destination_may_overrule_holes_and_transfer_syntax():
    profile = profile_named("eclipse", holes="xor", transfer_syntax="explicit")
    assert (profile.holes, profile.transfer_syntax, profile.predecessor) == ("xor", "explicit", False)


def test_an_unknown_profile_is_refused_with_those_that_are_known():
    with pytest.raises(ConfigInvalid, match="found 'monaco', allowed: generic, eclipse, raystation"):
        profile_named("monaco")
