"""Types of single values in the file: what an AE title, an address, a label may be. Each says so in words."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from service.config.sop_classes import sop_class_uid

# Editors show this text where a value does not fit; our own messages quote it after "allowed:".
ALLOWED: Final = "patternErrorMessage"

_NETWORK_SAYS: Final = "an IP address such as 10.1.2.3 or a network such as 10.1.0.0/16, not a host name"
_OWN_SAYS: Final = "an IP address of this machine; 0.0.0.0 for all, 127.0.0.1 for this machine only"
_HOST_SAYS: Final = "a host name or an IP address, without port or protocol"
_TIMEZONE_SAYS: Final = "the name of an IANA time zone such as Europe/Stockholm, or UTC"
_DATABASE_SAYS: Final = "sqlite, or a URL such as postgresql://user@host/name"
_WEB_SAYS: Final = "a URL that begins with http:// or https://"
_SECURE_SAYS: Final = "a URL that begins with https:// (http:// on this machine only) and ends with its path"
_FINGERPRINT_SAYS: Final = "a SHA-256 fingerprint: 64 hex digits, with or without colons, in quotes"
NOT_REPEATED: Final = "writeOnly"
"""Mark in the schema of a value that no message repeats."""

_BY_NAME_SAYS: Final = (
    "${NAME} with the name of an environment variable: this file is kept with every job and holds no secret"
)
_SOP_SAYS: Final = "a SOP class by keyword (RTPlanStorage), name (RT Plan Storage) or UID"


def _says(sentence: str) -> object:
    return Field(json_schema_extra={ALLOWED: sentence})


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        message = _NETWORK_SAYS
        raise ValueError(message) from error
    if "/" in value and str(network) != str(ipaddress.ip_interface(value)):
        message = f"a network without host bits, here {network}"
        raise ValueError(message)
    return value


def _own_address(value: str) -> str:
    if value != "localhost":
        try:
            ipaddress.ip_address(value)
        except ValueError as error:
            message = _OWN_SAYS
            raise ValueError(message) from error
    return value


def _host(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError as error:
        if not re.fullmatch(r"(?!-)[A-Za-z0-9_.-]{1,253}(?<!-)", value):
            message = _HOST_SAYS
            raise ValueError(message) from error
    return value


def _timezone(value: str) -> str:
    if value == "UTC":
        return value
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = _TIMEZONE_SAYS
        if not zoneinfo.available_timezones():
            message += "; this machine has no time zone data: install the package tzdata"
        raise ValueError(message) from error
    return value


def _database(value: str) -> str:
    if value == "sqlite":
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("postgresql", "postgresql+psycopg") or not parts.path.strip("/"):
        message = _DATABASE_SAYS
        raise ValueError(message)
    if parts.password is not None:
        message = "a URL without password: this file is kept with every job; use PGPASSWORD or ~/.pgpass"
        raise ValueError(message)
    return value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = _WEB_SAYS
        raise ValueError(message)
    if parts.password is not None:
        message = "a URL without password: this file is kept with every job"
        raise ValueError(message)
    return value


def _secure_address(value: str) -> str:
    """With TLS, but on this machine; without anything after the path."""
    parts = urlsplit(_web_address(value))
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError(_SECURE_SAYS)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(_SECURE_SAYS)
    return value


def _fingerprint(value: str) -> str:
    digits = value.replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        message = _FINGERPRINT_SAYS
        raise ValueError(message)
    return digits


def _sop_class(value: str) -> str:
    if sop_class_uid(value) is None:
        message = _SOP_SAYS
        raise ValueError(message)
    return value


_TEXT: Final = r"^[^\\\x00-\x20\x7f]([^\\\x00-\x1f\x7f]*[^\\\x00-\x20\x7f])?$"
_TEXT_SAYS: Final = "without backslash and without a blank at either end"

AeTitle = Annotated[
    str,
    StringConstraints(pattern=r"^[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?$"),
    _says("an AE title: 1 to 16 ASCII characters, no backslash, no blank at either end"),
]
Text16 = Annotated[
    str, StringConstraints(pattern=_TEXT, max_length=16), _says(f"a text of 1 to 16 characters {_TEXT_SAYS}")
]
Text64 = Annotated[
    str, StringConstraints(pattern=_TEXT, max_length=64), _says(f"a text of 1 to 64 characters {_TEXT_SAYS}")
]
Text200 = Annotated[
    str,
    StringConstraints(pattern=_TEXT, max_length=200),
    _says(f"a text of 1 to 200 characters {_TEXT_SAYS}"),
]
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"),
    _says("a name of letters, digits, '-', '_' and '.', at most 64 characters"),
]
ModelReference = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*@[0-9]+\.[0-9]+(\.[0-9]+)?$"),
    _says("bundle@version, such as pelvis-ct@2.0"),
]
Color = Annotated[
    str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$"), _says('"#rrggbb" in quotes, such as "#ffd700"')
]
UidRoot = Annotated[
    str,
    StringConstraints(pattern=r"^[0-2](\.(0|[1-9][0-9]*))+$", max_length=24),
    _says("digits and dots, at most 24 characters, such as 2.25"),
]
Email = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$"),
    _says("an e-mail address such as physics@hospital.example"),
]
FileName = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x1f]{1,1000}$"),
    Field(json_schema_extra={ALLOWED: "the name of a file, not what it holds", NOT_REPEATED: True}),
]
Secret = Annotated[
    str,
    StringConstraints(pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"),
    Field(json_schema_extra={ALLOWED: _BY_NAME_SAYS, NOT_REPEATED: True}),
]
Fingerprint = Annotated[str, AfterValidator(_fingerprint), _says(_FINGERPRINT_SAYS)]
Port = Annotated[int, Field(ge=0, le=65535)]
PeerPort = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Network = Annotated[str, AfterValidator(_network), _says(_NETWORK_SAYS)]
OwnAddress = Annotated[str, AfterValidator(_own_address), _says(_OWN_SAYS)]
Host = Annotated[str, AfterValidator(_host), _says(_HOST_SAYS)]
Timezone = Annotated[str, AfterValidator(_timezone), _says(_TIMEZONE_SAYS)]
Database = Annotated[str, AfterValidator(_database), _says(_DATABASE_SAYS)]
WebAddress = Annotated[str, AfterValidator(_web_address), _says(_WEB_SAYS)]
SecureAddress = Annotated[str, AfterValidator(_secure_address), _says(_SECURE_SAYS)]
SopClass = Annotated[str, AfterValidator(_sop_class), _says(_SOP_SAYS)]
Profile = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"),
    _says("generic, eclipse, raystation, monaco, pinnacle, mim or a name under profiles"),
]
SendAgain = Literal["ignore", "send_same", "contour_again"]
RouteMode = Literal["send", "hold", "shadow", "off"]
PlainPort = Literal["on", "loopback", "off"]
