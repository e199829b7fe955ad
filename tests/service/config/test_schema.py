"""The JSON Schema agrees with the reader, and the committed copies with the program."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from service.config.reference import REFERENCE_FILE, reference
from service.config.schema import SCHEMA_FILE, allowed_at, json_schema, json_schema_text, keys_at
from service.config.site import Site

UPDATE = "run `delineate {0} > {1}`"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


def test_the_schema_in_docs_is_the_programs(repository):
    assert (repository / SCHEMA_FILE).read_text() == json_schema_text(), UPDATE.format("schema", SCHEMA_FILE)


def test_the_reference_in_docs_is_the_programs(repository):
    assert (repository / REFERENCE_FILE).read_text() == reference(), UPDATE.format(
        "reference", REFERENCE_FILE
    )


def test_the_file_that_ships_fits_the_schema_and_names_it(repository, validator):
    text = (repository / "config.yaml").read_text()
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n")
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "change",
    [
        ("mode: send", "mode: sned"),
        ("    mode: send\n", ""),
        ("port: 11113", "port: 70000"),
        ("port: 11113", "prot: 11113"),
        ('"#00ff00"', "green"),
        ("SCANNER:", "A_TITLE_OF_SEVENTEEN:"),
        ("{Modality: CT}", "{modality: CT}"),
        ("external@1.0", "external"),
    ],
)
def test_editors_see_the_mistakes_that_the_reader_sees(change, edited, validator, mistakes):
    text = edited(*change)
    assert mistakes(text)
    assert not validator.is_valid(yaml.safe_load(text))


def test_editors_accept_what_the_reader_accepts(good, validator, edited, mistakes):
    criteria = (
        '{StudyDescription: ["*a*", {absent: true}], SliceThickness: "<=5", Rows: 512, calling_ae: SCANNER}'
    )
    for text in (
        good,
        edited("{Modality: CT}", criteria),
        edited("contour: external", "contour: [external]"),
    ):
        assert mistakes(text) == ()
        validator.validate(yaml.safe_load(text))


def test_every_key_of_every_section_has_its_sentence_in_the_reference():
    text = reference()
    for definition in json_schema()["$defs"].values():
        assert definition["description"]
        for key, node in definition["properties"].items():
            assert node.get("description") or "$ref" in node, key
    for path in [(), ("node",), ("destinations", "x"), ("destinations", "x", "retry"), ("routes", 0)]:
        for key in keys_at(path):
            assert path == () or f"| `{key}` |" in text


def test_every_section_of_the_model_stands_in_the_reference():
    headings = {
        line.split("`")[1].split(".")[0] for line in reference().splitlines() if line.startswith("### ")
    }
    assert headings == set(Site.model_fields)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("node", "port"), "a whole number from 0 to 65535"),
        (("node", "quiet_seconds"), "a number above 0"),
        (("node", "enhanced_ct"), "true or false"),
        (("routes", 0, "mode"), "send, hold, shadow or off"),
        (("routes", 0, "contour"), "a text or a list, each entry a text"),
        (("protocols", "x", "structures", "y", "color"), '"#rrggbb" in quotes, such as "#ffd700"'),
        (
            ("senders", "x"),
            "the keys addresses, port, host, quiet_seconds, find_count, profile, certificate_names, "
            "certificate_fingerprints, tls",
        ),
    ],
)
def test_what_is_allowed_is_said_in_words(path, words):
    assert allowed_at(path) == words
