"""Each trap of YAML that an administrator can step into is explained, with what to write instead."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "name", ["NO", "on", "yes", "off", "null", "00123", "12:30", "0104", "1e3", "0x1F", "1_000", "3.0", "~a"]
)
def test_a_text_stays_what_it_looks_like(name, edited, read):
    site = read(edited("name: everything", f"name: {name}")).site
    assert site.routes[0].name == name


def test_no_as_an_ae_title_is_not_false(edited, read):
    site = read(edited("SCANNER:", "NO:")).site
    assert list(site.senders) == ["NO"]


def test_a_mode_of_off_is_not_false(edited, read):
    assert read(edited("mode: send", "mode: off")).site.routes[0].mode == "off"


@pytest.mark.parametrize(
    "written", ["0104", "1e3", "104.0", '"104"', "0x68", "+104", "1_04", "104a", "12:30", "true"]
)
def test_only_a_plain_decimal_number_is_a_number(written, edited, mistakes):
    (mistake,) = mistakes(edited("port: 11113", f"port: {written}"))
    assert mistake.startswith("config.yaml:5: destinations.tps.port: found '" + written.strip('"'))
    assert "a whole number from 1 to 65535, plainly written: no quotes, no leading zeros" in mistake


@pytest.mark.parametrize("written", ["yes", "True", "1", "on", '"true"'])
def test_only_true_and_false_are_truth_values(written, edited, mistakes):
    (mistake,) = mistakes(edited("port: 11112", f"enhanced_ct: {written}"))
    assert "node.enhanced_ct: found" in mistake
    assert "allowed: true or false" in mistake


def test_true_and_plain_numbers_are_read(edited, read):
    node = read(edited("port: 11112", "enhanced_ct: true, quiet_seconds: 2.5, gpus: 2, port: 0")).site.node
    assert (node.enhanced_ct, node.quiet_seconds, node.gpus, node.port) == (True, 2.5, 2, 0)


@pytest.mark.parametrize("color", ["{color: #00ff00}", "\n        color: #00ff00"])
def test_an_unquoted_colour_is_a_comment_and_is_explained(color, edited, mistakes):
    found = mistakes(edited('{color: "#00ff00"}', color))
    assert len(found) == 1
    assert '# begins a comment, write "#00ff00" in quotes' in found[0]


@pytest.mark.parametrize(
    ("written", "quoted"),
    [
        ("*pelvis*", "*pelvis*"),
        ("*pelvis", "*pelvis"),
        ("* %*", "* %*"),
        ("*", "*"),
        ("%gated", "%gated"),
        ("@home", "@home"),
        ("`tick", "`tick"),
        ("!*phantom*", "!*phantom*"),
        (">x", ">x"),
        ("&more", "&more"),
        ("|x", "|x"),
    ],
)
@pytest.mark.parametrize(
    "style", ["{{StudyDescription: {}, Modality: CT}}", "\n      StudyDescription: {}\n      Modality: CT"]
)
def test_a_text_that_needs_quotes_says_so(written, quoted, style, edited, mistakes):
    found = mistakes(edited("{Modality: CT}", style.format(written)))
    assert len(found) == 1, found
    assert f'write "{quoted}' in found[0]
    assert found[0].startswith(f"config.yaml:{13 if style[0] == '{' else 14}: routes[0].when")


@pytest.mark.parametrize("written", [">=1", ">5", "> 5"])
def test_a_range_that_begins_with_a_greater_sign_needs_quotes(written, edited, mistakes, read):
    (mistake,) = mistakes(edited("{Modality: CT}", f"\n      SliceThickness: {written}"))
    assert f'write "{written}" in quotes' in mistake
    assert read(edited("{Modality: CT}", "{SliceThickness: <=5, Rows: 512}"))  # these two need none


@pytest.mark.parametrize("written", ["[*CBCT*, *4D*, CT]", "\n        - *CBCT*\n        - *4D*"])
def test_every_entry_of_a_list_that_needs_quotes_is_named(written, edited, mistakes):
    found = mistakes(edited("{Modality: CT}", f"\n      SeriesDescription: {written}"))
    assert len(found) == 2
    assert '"*CBCT*"' in found[0]
    assert '"*4D*"' in found[1]


def test_a_tab_that_indents_is_named_on_each_line(mistakes):
    found = mistakes("node:\n\tport: 104\n\tbind: 127.0.0.1\nroutes: []\n")
    assert [line.split(": ", 1)[0] for line in found] == ["config.yaml:2", "config.yaml:3"]
    assert "spaces" in found[0]


def test_a_tab_after_a_colon_does_not_hide_the_next_mistake(mistakes):
    found = mistakes("node:\n  port:\t104\n  prot: 1\nroutes: []\n")
    assert "tab" in found[0]
    assert "did you mean port?" in found[1]


def test_a_second_colon_in_a_text_is_explained(edited, mistakes):
    (mistake,) = mistakes(edited("name: everything", "name: pelvis: CT"))
    assert mistake.startswith("config.yaml:12: ")
    assert "a second ': '" in mistake


def test_duplicate_keys_are_refused_with_both_lines(edited, mistakes):
    (mistake,) = mistakes(edited("    mode: send\n", "    mode: send\n    mode: hold\n"))
    assert mistake == "config.yaml:17: routes[0].mode: stands twice, first on line 16; keep one of the two"


def test_typographic_quotation_marks_are_explained(edited, mistakes):
    found = mistakes(edited("name: everything", "name: \u201ceverything\u201d"))
    assert "typographic" in found[0]


def test_a_byte_order_mark_is_no_part_of_the_first_key(good, read):
    assert read("\ufeff" + good).site.node.port == 11112


def test_windows_line_ends_change_nothing(good, read):
    assert read(good.replace("\n", "\r\n")).site == read(good).site


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "config.yaml:1: the file is empty"),
        ("# only a comment\n", "config.yaml:1: the file is empty"),
        ("- a\n", "config.yaml:1: the file must hold keys"),
        ("node: {port: 1\nroutes: []\n", "a bracket is not closed, or a comma is missing (begun on line 1)"),
        ('node: {storage: "var}\nroutes: []\n', "a quotation mark is not closed (begun on line 1)"),
        ("node:\n   port: 1\n  bind: x\n", "config.yaml:3: the indentation does not fit"),
        ("node: {}\nroutes\n", "a key without its colon"),
        ("routes: []\n---\nroutes: []\n", "config.yaml:2: a second document"),
        ("routes: []\n\x07\n", "config.yaml:2: holds an unprintable character (U+0007)"),
        ("[" * 5000, "nested too deeply"),
        ("routes: &a [*a]\n", "contains itself"),
        ("? [a, b]\n: c\nroutes: []\n", "a key must be a text"),
    ],
)
def test_what_is_no_yaml_says_where_and_why(text, said, mistakes):
    assert any(said in line for line in mistakes(text)), mistakes(text)


def test_what_a_program_wrote_with_aliases_and_nulls_is_read(good, read):
    import yaml

    config = yaml.safe_load(good)
    config["senders"]["SCANNER"] = None
    config["routes"].append({**config["routes"][0], "name": "again"})  # safe_dump writes anchors for these
    config["protocols"]["external"]["structures"]["External"] = None
    text = yaml.safe_dump(config)
    assert "&id001" in text
    site = read(text).site
    assert site.senders == {"SCANNER": None}
    assert site.routes[0].when == site.routes[1].when == {"Modality": "CT"}
