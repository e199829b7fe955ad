from base64 import b64decode

import pytest
from parsed_html import Parsed

from models.evaluation.html_page import bullets, contents, heading, page, paragraph, picture, table

NASTY = '<script>alert("&")</script>'


def test_every_part_escapes_what_it_is_given(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    parts = [
        heading(NASTY, NASTY),
        contents([(NASTY, NASTY)]),
        paragraph(NASTY, NASTY),
        bullets([NASTY]),
        table(NASTY, [NASTY, NASTY], [[NASTY, NASTY]]),
        picture(tmp_path / "a.png", NASTY),
    ]
    found = Parsed(page(NASTY, parts))
    assert not [attribute for attribute in found.attributes if attribute[0] == "script"]
    assert found.texts.count(NASTY) == 12


def test_a_picture_stands_in_the_page(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG and so on")
    found = Parsed(picture(tmp_path / "a.png", "what it shows"))
    (source,) = [value for tag, name, value in found.attributes if (tag, name) == ("img", "src")]
    assert b64decode(source.removeprefix("data:image/png;base64,")) == b"\x89PNG and so on"
    assert ("img", "alt", "what it shows") in found.attributes


@pytest.mark.parametrize("words", [False, True])
def test_a_table_names_its_lines_and_columns(words):
    found = Parsed(table("about", ["name", "n"], [["a", "1"], ["b", "2"]], words=words))
    assert [value for tag, name, value in found.attributes if name == "scope"] == ["col", "col", "row", "row"]
    assert (("table", "class", "words") in found.attributes) is words
    assert [text for text in found.texts if text.strip()] == ["about", "name", "n", "a", "1", "b", "2"]
