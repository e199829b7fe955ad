"""What the file may say of TLS, what it may not, and that no secret is ever repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import Authority

from service.config.advice import warnings_of
from service.config.reader import parse
from service.dicom.transport_security import unusable_sections
from service.errors import ConfigInvalid

SECRET = "correct-horse-battery"


@pytest.fixture
def mistakes(good, tmp_path):
    def found(node: str = "", destination: str = "", sender: str = "") -> list[str]:
        text = good.replace("port: 11112}", f"port: 11112{node}}}")
        text = text.replace("port: 11113}", f"port: 11113{destination}}}").replace(
            "port: 104}", f"port: 104{sender}}}"
        )
        try:
            parse(text, tmp_path / "config.yaml")
        except ConfigInvalid as error:
            return list(error.mistakes)
        return []

    return found


FILES = "certificate: a.pem, key: a.key"


@pytest.mark.parametrize(
    ("where", "text", "said"),
    [
        ("node", f", tls: {{{FILES}, trusted_certificates: ca.pem}}", None),
        ("node", f", tls: {{{FILES}, require_client_certificate: false}}", None),
        ("node", f", tls: {{{FILES}}}", "whom senders are trusted by"),
        ("node", ", tls: {key: a.key, trusted_certificates: ca.pem}", "certificate: is missing"),
        ("node", ", plain_port: off", "closes the only port"),
        ("node", ", plain_port: no", "allowed: on, loopback or off"),
        ("node", f", plain_port: off, tls: {{{FILES}, trusted_certificates: ca.pem}}", None),
        (
            "node",
            f", tls: {{{FILES}, trusted_certificates: c, passphrase_file: p, passphrase: '${{P}}'}}",
            "keep one",
        ),
        ("destination", ", tls: {trusted_certificates: ca.pem}", None),
        ("destination", f", tls: {{fingerprints: ['{'ab:' * 31}cd']}}", None),
        ("destination", ", tls: {}", "would trust anybody"),
        ("destination", ", tls: {trusted_certificates: ca.pem, key: a.key}", "needs both, or neither"),
        ("destination", ", tls: {fingerprints: ['abc']}", "64 hex digits"),
        ("sender", ", tls: {server_name: x}", "would trust anybody"),
        ("sender", ", certificate_names: [scanner]", "set node.tls"),
    ],
)
def test_what_may_stand_there(mistakes, where, text, said):
    found = mistakes(**{where: text})
    assert len(found) == (said is not None), found
    assert said is None or said in found[0]


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("node", f", tls: {{{FILES}, trusted_certificates: ca.pem, passphrase: {SECRET}}}"),
        ("node", f', tls: {{{FILES}, trusted_certificates: ca.pem, passphrase: "${{X}}{SECRET}"}}'),
        (
            "node",
            f', tls: {{certificate: a, key: "-----BEGIN KEY-----\\n{SECRET}", trusted_certificates: ca.pem}}',
        ),
        ("node", f", database: 'postgresql://user:{SECRET}@host/name'"),
        ("node", f", notify: {{webhook: 'https://user:{SECRET}@host/'}}"),
        ("destination", f", tls: {{trusted_certificates: ca.pem, passphrase: {SECRET}}}"),
        ("destination", f", password: {SECRET}"),
        ("destination", f", tls: {{trusted_certificates: ca.pem, passphrase: [{SECRET}]}}"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(mistakes, where, text):
    found = mistakes(**{where: text})
    assert found
    assert SECRET not in "\n".join(found)


def loaded_with(folder: Path, good: str, tls: str):
    return parse(
        good.replace("port: 11112}", f"port: 11112, tls: {{port: 0, {tls}}}}}"), folder / "config.yaml"
    )


@pytest.mark.parametrize(("days", "said"), [(40, None), (29, "ends in 29 days"), (-2, "ended 2 days ago")])
def test_check_names_certificates_that_end(tmp_path, good, days, said):
    authority = Authority(tmp_path)
    authority.sign("node", days=days + 0.3 if days > 0 else days)
    loaded = loaded_with(
        tmp_path, good, "certificate: node.pem, key: node.key, trusted_certificates: authority.pem"
    )
    found = warnings_of(loaded, also=unusable_sections(loaded.site))
    assert [(one.key, said in one.sentence) for one in found] == (
        [] if said is None else [("node.tls.certificate", True)]
    )


def test_check_names_what_cannot_be_used_and_keys_that_others_may_read(tmp_path, good, monkeypatch):
    authority = Authority(tmp_path)
    authority.sign("node", passphrase="right").key.chmod(0o644)
    files = "certificate: node.pem, key: node.key, trusted_certificates: authority.pem"
    loaded = loaded_with(tmp_path, good, f"{files}, passphrase: '${{PASSPHRASE_OF_THE_KEY}}'")
    monkeypatch.delenv("PASSPHRASE_OF_THE_KEY", raising=False)

    def said() -> list[str]:
        return [
            f"{one.key} {one.sentence}" for one in warnings_of(loaded, also=unusable_sections(loaded.site))
        ]

    missing, readable = sorted(said())
    assert "is not set" in missing
    assert "can be read by other users" in readable
    monkeypatch.setenv("PASSPHRASE_OF_THE_KEY", "wrong")
    assert "the passphrase is not that of the key" in sorted(said())[0]
    monkeypatch.setenv("PASSPHRASE_OF_THE_KEY", "right")
    assert len(said()) == 1
