"""When the certificates of the configuration end, and whether key and certificate belong together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from service.config.tls_sections import tls_sections

if TYPE_CHECKING:
    from service.config.mistakes import KeyPath
    from service.config.site import Site

WARN_DAYS: Final = 30
"""A certificate that ends within so many days is named by `delineate check` and in the log."""

_DAY: Final = 86400.0


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """The first end among the certificates of one file.

    Attributes:
        path: the key of the configuration that names the file.
        ends_at: seconds since the epoch.
    """

    path: KeyPath
    ends_at: float

    def days_left(self, now: float) -> float:
        """Days until it ends; below 0 once it has."""
        return (self.ends_at - now) / _DAY


def certificate_ends(site: Site) -> Iterator[CertificateEnd]:
    """The ends of all certificates that the file names and that can be read, ours and those we trust."""
    for path, section in tls_sections(site):
        for key in ("certificate", "trusted_certificates"):
            file = getattr(section, key)
            ends = _ends_in(Path(file)) if file is not None else []
            if ends:
                yield CertificateEnd((*path, key), min(ends))


def ending_soon(site: Site, now: float | None = None) -> list[tuple[CertificateEnd, str]]:
    """Certificates that have ended or will within :data:`WARN_DAYS`, each with a sentence."""
    at = time.time() if now is None else now
    return [(end, _sentence(end.days_left(at))) for end in certificate_ends(site) if _is_near(end, at)]


def _is_near(end: CertificateEnd, at: float) -> bool:
    return end.days_left(at) < WARN_DAYS


def _sentence(days: float) -> str:
    if days < 0:
        return f"holds a certificate that ended {-days:.0f} days ago; connections fail until it is renewed"
    return f"holds a certificate that ends in {days:.0f} days; renew it"


def _ends_in(file: Path) -> list[float]:
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return []
    return [each.not_valid_after_utc.timestamp() for each in found]
