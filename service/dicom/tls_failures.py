"""Why a TLS handshake failed, in one word that may be logged."""

from __future__ import annotations

import ssl
from typing import Final


class PinMismatch(ssl.SSLError):
    """The peer shows another certificate than those it may show."""


_OF_CHAIN: Final = {9: "not-yet-valid", 10: "expired", 62: "other-name", 64: "other-name"}
"""X509_V_ERR_... of openssl/x509_vfy.h."""
_OF_REASON: Final = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "no-certificate"),
    ("CERTIFICATE_REQUIRED", "our-certificate-missing"),
    ("ALERT_UNKNOWN_CA", "our-certificate-refused"),
    ("ALERT_BAD_CERTIFICATE", "our-certificate-refused"),
    ("ALERT_UNSUPPORTED_CERTIFICATE", "our-certificate-refused"),
    ("ALERT_CERTIFICATE_EXPIRED", "our-certificate-refused"),
    ("ALERT_CERTIFICATE_UNKNOWN", "our-certificate-refused"),
    ("ALERT_CERTIFICATE_REVOKED", "our-certificate-refused"),
    ("ALERT_ACCESS_DENIED", "our-certificate-refused"),
    ("ALERT_DECRYPT_ERROR", "our-certificate-refused"),
    ("UNSUPPORTED_PROTOCOL", "version"),
    ("ALERT_PROTOCOL_VERSION", "version"),
    ("NO_SHARED_CIPHER", "no-shared-cipher"),
    ("HANDSHAKE_FAILURE", "no-shared-cipher"),
    ("HTTP_REQUEST", "not-tls"),
    ("WRONG_VERSION_NUMBER", "not-tls"),
    ("UNKNOWN_PROTOCOL", "not-tls"),
    ("UNEXPECTED_MESSAGE", "not-tls"),
    ("BAD_PROTOCOL_VERSION_NUMBER", "not-tls"),
    ("RECORD_LENGTH", "not-tls"),
    ("PACKET_LENGTH", "not-tls"),
)


def kind_of_failure(error: OSError) -> str:
    """One word for why a handshake failed, for logs and sentences."""
    if isinstance(error, PinMismatch):
        return "other-fingerprint"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _OF_CHAIN.get(error.verify_code, "not-trusted")
    if isinstance(error, TimeoutError):
        return "stalled"
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return "connection-lost"
    reason = error.reason or ""
    return next((kind for part, kind in _OF_REASON if part in reason), "other")
