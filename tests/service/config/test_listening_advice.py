"""Ports that nothing could listen on, or nobody would reach."""

from __future__ import annotations

import pytest

from service.config.advice import warnings_of


@pytest.fixture
def warned(edited, read):
    """Warnings of the good file with these texts instead of ``port: 11112``, as (key, sentence)."""

    def of(node, console=""):
        text = edited("port: 11112", node) + console
        return [(one.key, one.sentence) for one in warnings_of(read(text))]

    return of


def test_an_address_of_another_machine(warned):
    expected = "192.0.2.7 is no address of this machine, so nothing could listen there"  # RFC 5737: nobody's
    assert warned("bind: 192.0.2.7") == [("node.bind", expected)]
    found = warned(
        "port: 11112", "console: {host: 192.0.2.7, tls_certificate: config.yaml, tls_key: config.yaml}\n"
    )
    assert ("console.host", expected) in found


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_given_twice(host, warned):
    twice = ("console.port", "11112 is node.port too; only one of the two could listen")
    assert twice in warned("port: 11112", f"console: {{host: {host}, port: 11112}}\n")


@pytest.mark.parametrize(
    ("node", "console"),
    [
        ("port: 0", "port: 0"),
        ("port: 11112", "enabled: false, port: 11112"),
        ("port: 8088", "host: 127.0.0.2"),
    ],
)
def test_ports_that_are_not_in_each_others_way(node, console, warned):
    assert warned(node, f"console: {{{console}}}\n") == []
