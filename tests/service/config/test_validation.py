"""Every mistake at once; each names file, line, key, what was found and what is allowed."""

from __future__ import annotations

import pytest


def test_a_good_file_has_no_mistakes(good, mistakes):
    assert mistakes(good, bundles=True) == ()


def test_every_mistake_is_said_in_one_go_in_the_order_of_the_file(mistakes):
    text = (
        "node: {prot: 104}\n"
        "senders: {SCANNER: {port: 0104}}\n"
        "destinations: {tps: {ae_title: TPS, host: 127.0.0.1}}\n"
        "protocols: {external: {model: external@9.9}}\n"
        "routes:\n"
        "  - name: one\n"
        "    when: {StudyDescription: *pelvis*, modality: CT}\n"
        "    contour: extrenal\n"
        "    send_to: [tpss]\n"
    )
    found = mistakes(text, bundles=True)
    keys = [line.split(": ")[:2] for line in found]
    assert keys == [
        ["config.yaml:1", "node.prot"],
        ["config.yaml:2", "senders.SCANNER.port"],
        ["config.yaml:3", "destinations.tps.port"],
        ["config.yaml:4", "protocols.external.model"],
        ["config.yaml:6", "routes[0].mode"],
        ["config.yaml:7", "routes[0].when"],
        ["config.yaml:7", "routes[0].when.modality"],
        ["config.yaml:8", "routes[0].contour"],
        ["config.yaml:9", "routes[0].send_to[0]"],
    ]
    assert all("allowed:" in line or "write " in line or "there are:" in line for line in found)


def test_an_unknown_key_gets_a_suggestion_and_the_keys_there_are(edited, mistakes):
    (mistake,) = mistakes(edited("host: 127.0.0.1", "host: 127.0.0.1, proflie: eclipse"))
    assert mistake == (
        "config.yaml:5: destinations.tps.proflie: unknown key; did you mean profile?; allowed: ae_title, "
        "host, port, dicomweb, folder, objects, calling_ae_title, profile, rules, holes, transfer_syntax, timeout_seconds, tls, retry, "
        "storage_commitment or commitment"
    )


def test_an_unknown_section_gets_a_suggestion(good, mistakes):
    (mistake,) = mistakes(good + "route: []\n")
    assert mistake.startswith("config.yaml:17: route: unknown key; did you mean routes?")


def test_mode_is_required(edited, mistakes):
    (mistake,) = mistakes(edited("    mode: send\n", ""))
    assert mistake == "config.yaml:12: routes[0].mode: is missing; allowed: send, hold, shadow or off"


def test_a_wrong_choice_names_the_choices(edited, mistakes):
    (mistake,) = mistakes(edited("mode: send", "mode: sned"))
    assert mistake == (
        "config.yaml:16: routes[0].mode: found 'sned'; did you mean send?; allowed: send, hold, shadow or off"
    )


@pytest.mark.parametrize(
    ("written", "list_of_it"), [("tps", "[tps]"), ('"a tps"', '["a tps"]'), ('"[tps"', '["[tps"]')]
)
def test_a_text_where_a_list_belongs_is_shown_as_one(written, list_of_it, edited, mistakes):
    found = mistakes(edited("send_to: [tps]", f"send_to: {written}"))
    assert found[0].endswith(f"; allowed: a list, each entry a text; write {list_of_it}")


def test_a_label_of_more_than_sixteen_characters_is_refused(edited, mistakes, read):
    assert read(edited("external@1.0\n", 'external@1.0\n    label: "0123456789abcdef"\n'))
    (mistake,) = mistakes(edited("external@1.0\n", 'external@1.0\n    label: "0123456789abcdefg"\n'))
    assert mistake.startswith(
        "config.yaml:9: protocols.external.label: found '0123456789abcdefg'; allowed: a text of 1 to 16"
    )


@pytest.mark.parametrize("label", ['" AI"', '"AI "', '"A\\\\B"', '"A\\nB"', '""'])
def test_a_label_that_a_tps_would_change_is_refused(label, edited, mistakes):
    assert len(mistakes(edited("external@1.0\n", f"external@1.0\n    label: {label}\n"))) == 1


def test_characters_of_any_language_count_as_one(edited, read):
    loaded = read(edited("external@1.0\n", "external@1.0\n    label: 骨盆自动勾画结构集一二三四五六七\n"))
    assert len(loaded.site.protocols["external"].label) == 16


@pytest.mark.parametrize("title", ["ABCDEFGHIJKLMNOPQ", '"A\\\\B"', '" A"', "Ä"])
def test_what_is_no_ae_title_is_refused_as_a_key_and_as_a_value(title, edited, mistakes):
    assert "an AE title" in mistakes(edited("SCANNER:", f"{title}:"))[0]
    assert "an AE title" in mistakes(edited("ae_title: TPS", f"ae_title: {title}"))[0]


@pytest.mark.parametrize("empty", ["unless:", "when:", "send_to:", "mode:", "contour:"])
def test_a_key_of_a_route_with_nothing_after_it_is_a_mistake(empty, good, mistakes):
    lines = [line for line in good.splitlines() if not line.strip().startswith(empty)]
    found = mistakes("\n".join([*lines, f"    {empty}", ""]))
    assert len(found) == 1
    assert "found nothing" in found[0]


def test_sections_may_be_empty(read):
    site = read("node:\nsenders:\ndestinations:\nprotocols:\nroutes:\n").site
    assert (site.senders, site.destinations, site.protocols, site.routes) == ({}, {}, {}, [])


def test_a_destination_with_nothing_in_it_misses_its_keys(edited, mistakes):
    found = mistakes(edited("tps: {ae_title: TPS, host: 127.0.0.1, port: 11113}", "tps:"))
    assert [line.split(": ")[1] for line in found] == [
        "destinations.tps.ae_title", "destinations.tps.host", "destinations.tps.port",
    ]  # fmt: skip


def test_a_value_where_a_section_belongs_is_a_mistake(mistakes):
    (mistake,) = mistakes("node: 5\nroutes: []\n")
    assert mistake.startswith("config.yaml:1: node: found '5'; allowed: the keys ae_title")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("bind", "pacs.local", "an IP address of this machine"),
        ("timezone", "Europe/Stokholm", "the name of an IANA time zone"),
        ("database", "mysql://x/y", "sqlite, or a URL such as postgresql"),
        ("database", "postgresql://u:secret@h/d", "a URL without password"),
        ("uid_root", "2.025", "digits and dots"),
        ("accept_and_discard", "[RTPlanStoarge]", "a SOP class by keyword"),
        ("notify", "{webhook: pacs/hook}", "http:// or https://"),
        ("notify", "{email_to: [nobody]}", "an e-mail address"),
        ("quiet_seconds", "0", "a number above 0"),
        ("gpus", "17", "a whole number from 1 to 16"),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_is_allowed(key, value, said, mistakes):
    (mistake,) = mistakes(f"node: {{{key}: {value}}}\nroutes: []\n")
    assert said in mistake


@pytest.mark.parametrize("address", ["pacs.local", "10.1.2.3/16", "10.1.2", "::g"])
def test_what_is_no_address_is_refused(address, edited, mistakes):
    (mistake,) = mistakes(edited("[127.0.0.1]", f"['{address}']"))
    assert mistake.startswith("config.yaml:3: senders.SCANNER.addresses[0]: found")


@pytest.mark.parametrize("host", ["tps.hospital.example", "10.1.2.3", "'::1'", "tps_1"])
def test_hosts_are_names_or_addresses(host, edited, read):
    assert read(edited("host: 127.0.0.1", f"host: {host}"))


@pytest.mark.parametrize("host", ["http://tps", "tps:104", "a b"])
def test_a_host_with_port_or_protocol_is_refused(host, edited, mistakes):
    (mistake,) = mistakes(edited("host: 127.0.0.1", f"host: '{host}'"))
    assert "without port or protocol" in mistake
