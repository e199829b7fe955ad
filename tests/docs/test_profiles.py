"""The page of profiles says what the program does, rule by rule."""

from __future__ import annotations

from dataclasses import fields

import pytest
import yaml

from service.config.reader import parse
from service.contouring.profiles import PROFILES, Profile, profile_of

RULES = [rule.name for rule in fields(Profile) if rule.name not in ("name", "sources")]


@pytest.fixture(scope="module")
def page(repository) -> str:
    return (repository / "docs" / "profiles.md").read_text()


def said(value: object) -> str:
    if value is None:
        return "no limit"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != {} else "the protocol's"


@pytest.mark.parametrize("rule", RULES)
def test_the_table_is_the_programs(rule, page):
    cells = " | ".join(said(getattr(profile, rule)) for profile in PROFILES.values())
    assert f"| `{rule}` | {cells} |" in page


@pytest.mark.parametrize("rule", RULES)
def test_every_source_stands_in_the_page(rule, page):
    for profile in PROFILES.values():
        assert f"| {profile.sources[rule]} |" in page


def test_the_example_works(page, tmp_path):
    text = page.split("```yaml\n")[1].split("```")[0]
    text += "protocols: {p: {model: external@1.0, structures: {External: }}}\n"
    loaded = parse(text, tmp_path / "config.yaml")
    monaco, second = (profile_of(each, loaded.site) for each in loaded.site.destinations.values())
    assert (monaco.axial_only, monaco.name_characters, monaco.points_per_contour) == (True, 12, 2000)
    assert (second.alphabet, second.label_characters, second.predecessor) == ("identifier", 12, False)
    assert set(yaml.safe_load(text)["profiles"]) == {"our-monaco"}
