"""Certificates for tests: an authority and what it signs, as PEM files in a folder."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path
    fingerprint: str


class Authority:
    """Signs certificates; its own is ``certificate``."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=4000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def sign(
        self,
        name: str,
        *,
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
        days: float = 365,
        passphrase: str | None = None,
    ) -> Certificate:
        """A certificate of that common name that ends in ``days``; what it was called before is replaced."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=399))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
        )
        made = builder.sign(self._key, hashes.SHA256())
        locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            locked = serialization.BestAvailableEncryption(passphrase.encode())
        pem = serialization.Encoding.PEM
        files = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        files[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
        files[1].chmod(0o600)
        files[0].write_bytes(made.public_bytes(pem))
        der = made.public_bytes(serialization.Encoding.DER)
        return Certificate(*files, hashlib.sha256(der).hexdigest())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
