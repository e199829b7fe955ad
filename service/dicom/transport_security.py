"""TLS for DICOM: contexts by the profile of PS3.15 B.12, and what a peer's certificate says.

BCP 195 (RFC 8996, RFC 9325): nothing below TLS 1.2, TLS 1.3 where both can; of 1.2 the four suites of RFC
9325 section 4.2, which all have forward secrecy and authenticated encryption. Nothing is compressed, and no
session is resumed: each association shows its certificates anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from service.config.tls_sections import tls_sections
from service.config.transport_security import ClientTls
from service.dicom.tls_failures import PinMismatch
from service.errors import NodeError
from service.log import EventLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.config.mistakes import KeyPath
    from service.config.site import Site
    from service.config.transport_security import ServerTls

CIPHERS_OF_TLS_1_2: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""RFC 9325 section 4.2, as OpenSSL names them."""

_PEM_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_PEM_END: Final = "-----END CERTIFICATE-----"
_log = EventLog("tls")


class TlsUnusable(NodeError):
    """A ``tls:`` section cannot be used: a file is missing, or key, passphrase and certificate do not fit."""


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a peer has shown.

    Attributes:
        fingerprint: SHA-256 of the certificate, 64 hex digits.
        names: subject alternative names and common name, in small letters.
    """

    fingerprint: str
    names: frozenset[str]


def peer_certificate(connection: ssl.SSLSocket) -> PeerCertificate | None:
    """What the peer at the other end has shown; None if it showed nothing."""
    encoded = connection.getpeercert(binary_form=True)
    if not encoded:
        return None
    found = connection.getpeercert() or {}
    names = [str(value) for _, value in cast("Sequence[tuple[str, object]]", found.get("subjectAltName", ()))]
    for part in cast("Sequence[Sequence[tuple[str, str]]]", found.get("subject", ())):
        names += [value for key, value in part if key == "commonName"]
    return PeerCertificate(hashlib.sha256(encoded).hexdigest(), frozenset(name.casefold() for name in names))


class ClientContext(ssl.SSLContext):
    """One connection's context as a client; ``failure`` says afterwards why its handshake failed."""

    fingerprints: frozenset[str] = frozenset()
    failure: OSError | None = None


class _CheckedSocket(ssl.SSLSocket):
    """Compares the certificate with those the peer may show, before anything is sent."""

    def do_handshake(self, block: bool = False) -> None:
        context = cast("ClientContext", self.context)
        try:
            super().do_handshake(block)
            shown = peer_certificate(self)
            if context.fingerprints and (shown is None or shown.fingerprint not in context.fingerprints):
                message = "another certificate"
                raise PinMismatch(message)
        except OSError as error:
            context.failure = error
            raise


def client_context(tls: ClientTls) -> ClientContext:
    """A context for one connection; the files are read now.

    Raises:
        TlsUnusable: the section cannot be used as it stands.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _CheckedSocket
    context.fingerprints = frozenset(tls.fingerprints)
    _set_profile(context)
    if tls.trusted_certificates is None:
        context.check_hostname = False
        context.verify_mode = (
            ssl.CERT_NONE
        )  # the fingerprint decides; the configuration asks for one of the two
    else:
        _trust(context, tls.trusted_certificates)
    if tls.certificate is not None and tls.key is not None:
        _show(context, tls)
    return context


def own_certificate_both_ways(tls: ServerTls) -> ClientTls:
    """How the node calls itself: it shows the certificate that it expects, whatever name that bears.

    Raises:
        TlsUnusable: the certificate cannot be read.
    """
    try:
        pem = Path(tls.certificate).read_text(encoding="ascii")
        own = pem[pem.index(_PEM_BEGIN) : pem.index(_PEM_END) + len(_PEM_END)]
        encoded = ssl.PEM_cert_to_DER_cert(own)
    except (OSError, ValueError):
        sentence = "certificate of node.tls cannot be read. Correct it."
        raise TlsUnusable("tls.key-unusable", sentence) from None
    return ClientTls(
        fingerprints=[hashlib.sha256(encoded).hexdigest()],
        certificate=tls.certificate,
        key=tls.key,
        passphrase_file=tls.passphrase_file,
        passphrase=tls.passphrase,
    )


class ServerCredentials:
    """The server's context, made anew when one of its files has changed.

    Files that cannot be used, as in the middle of a renewal, change nothing: the last good ones stay.

    Raises:
        TlsUnusable: the section cannot be used as it stands when the server starts.
    """

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._stamps = self._look()
        self._context = _server_context(tls)

    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        with self._lock:
            stamps = self._look()
            if stamps != self._stamps:
                self._stamps = stamps
                try:
                    self._context = _server_context(self._tls)
                    _log.info("tls.certificate-taken")
                except TlsUnusable as error:
                    _log.error("tls.certificate-not-taken", code=error.code)
            return self._context

    def _look(self) -> list[tuple[int, int, int] | None]:
        tls = self._tls
        return [
            _stamp(Path(name))
            for name in (tls.certificate, tls.key, tls.passphrase_file, tls.trusted_certificates)
            if name is not None
        ]


def unusable_sections(site: Site) -> Iterator[tuple[KeyPath, str]]:
    """Every ``tls:`` section that cannot be used as it stands, with a sentence."""
    for path, section in tls_sections(site):
        try:
            if isinstance(section, ClientTls):
                client_context(section)
            else:
                _server_context(section)
        except TlsUnusable as error:
            yield path, error.sentence


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _server_context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_profile(context)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.num_tickets = 0
    if tls.trusted_certificates is not None:
        _trust(context, tls.trusted_certificates)
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_certificate else ssl.CERT_OPTIONAL
    _show(context, tls)
    return context


def _set_profile(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(CIPHERS_OF_TLS_1_2))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a certificate may be trusted alone


def _trust(context: ssl.SSLContext, file: str) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except OSError:
        sentence = "trusted_certificates of a tls section cannot be read as PEM certificates. Correct it."
        raise TlsUnusable("tls.trusted-unreadable", sentence) from None


def _show(context: ssl.SSLContext, tls: ServerTls | ClientTls) -> None:
    passphrase = passphrase_of(tls)
    try:
        # A key without a passphrase never asks; one with must not ask at the terminal.
        context.load_cert_chain(str(tls.certificate), str(tls.key), password=lambda: passphrase)
    except (OSError, ValueError):
        sentence = (
            "certificate and key of a tls section cannot be used: a file cannot be read, the passphrase is "
            "not that of the key, or the key is not that of the certificate. Correct them."
        )
        raise TlsUnusable("tls.key-unusable", sentence) from None


def passphrase_of(tls: ServerTls | ClientTls) -> str:
    """The passphrase of the section's key; empty if it names none.

    Raises:
        TlsUnusable: its file cannot be read, or its environment variable is not set.
    """
    if tls.passphrase_file is not None:
        try:
            return Path(tls.passphrase_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError):
            sentence = "passphrase_file of a tls section cannot be read. Correct it."
            raise TlsUnusable("tls.passphrase-missing", sentence) from None
    if tls.passphrase is None:
        return ""
    found = os.environ.get(tls.passphrase[2:-1])
    if found is None:
        sentence = f"The environment variable of {tls.passphrase} is not set for this process. Set it."
        raise TlsUnusable("tls.passphrase-missing", sentence)
    return found


def say_good_bye(connection: socket.socket | None) -> None:
    """Send close_notify (RFC 8446 section 6.1) and wait for nothing."""
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(OSError, ValueError):
            connection.settimeout(0.0)
            connection.unwrap()
