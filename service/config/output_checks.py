"""Whether a destination can have what it is to get: one way of reaching it, and objects that go that way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.config.mistakes import listed
from service.config.output_objects import NO_DICOM, ObjectKind
from service.config.plain_text import truth
from service.config.schema import allowed_at

if TYPE_CHECKING:
    from service.config.cross import Cross
    from service.config.mistakes import KeyPath

_STORAGE_SCP: Final = ("ae_title", "host", "port")
_DIMSE_ALONE: Final = ("calling_ae_title", "commitment")
_KINDS: Final = frozenset(kind.value for kind in ObjectKind)
_FILES_ALONE: Final = sorted(kind.value for kind in NO_DICOM)


def check_outputs(cross: Cross) -> None:
    """Say every mistake of the destinations' ways and objects."""
    for name in cross.keys("destinations"):
        path = ("destinations", name)
        if isinstance(cross.at(*path), dict):
            _check_way(cross, path)
            _check_objects(cross, path)
            _check_dicomweb(cross, (*path, "dicomweb"))
        else:
            _check_missing(cross, path)
    for where, name in cross.texts("evaluation", "query", "destinations"):
        if {"dicomweb", "folder"} & set(cross.keys("destinations", name)):
            cross.say(where, f"found '{name}', which is no Storage SCP: nobody there can be asked")


def _check_way(cross: Cross, path: tuple[str, str]) -> None:
    keys = cross.keys(*path)
    other = [key for key in ("dicomweb", "folder") if key in keys]
    if not other:
        _check_missing(cross, path)
        return
    if len(other) > 1 or any(key in keys for key in _STORAGE_SCP):
        sentence = (
            "is reached in more than one way; keep one of ae_title with host and port, dicomweb, folder"
        )
        cross.say(path, sentence)
    for key in _DIMSE_ALONE:
        if key in keys:
            cross.say(
                (*path, key), f"is for a Storage SCP; a destination with {other[0]} has none, delete it"
            )
    if truth(cross.at(*path, "storage_commitment")) is True:
        sentence = "is for a Storage SCP: neither STOW-RS nor a folder can commit itself; delete it"
        cross.say((*path, "storage_commitment"), sentence)
    if "tls" in keys and "folder" in other:
        cross.say((*path, "tls"), "is for what is reached over the network; delete it")


def _check_missing(cross: Cross, path: tuple[str, str]) -> None:
    keys = cross.keys(*path)
    for key in _STORAGE_SCP:
        if key not in keys:
            sentence = f"is missing; allowed: {allowed_at((*path, key))}"
            cross.say((*path, key), sentence + (", or dicomweb, or folder" if not keys else ""))


def _check_objects(cross: Cross, path: tuple[str, str]) -> None:
    keys, seen = cross.keys(*path), set[str]()
    if cross.at(*path, "objects") == []:
        cross.say((*path, "objects"), f"lists nothing; allowed: {listed(sorted(_KINDS))}")
    for where, name in cross.texts(*path, "objects"):
        if name in seen:
            cross.say(where, f"names {name} twice; keep it once")
        seen.add(name)
        if name in _FILES_ALONE and "folder" not in keys:
            sentence = f"found '{name}', which is no DICOM object: it needs a destination with `folder`"
            cross.say(where, sentence)


def _check_dicomweb(cross: Cross, path: KeyPath) -> None:
    keys = set(cross.keys(*path))
    for one, other in (("token", "token_file"), ("password", "password_file")):
        if {one, other} <= keys:
            cross.say(path, f"has both {one} and {other}; keep one")
    if keys & {"token", "token_file"} and keys & {"user", "password", "password_file"}:
        cross.say(path, "has a token and a user; keep one of the two")
    if ("user" in keys) != bool(keys & {"password", "password_file"}):
        cross.say(path, "has one of user and password; it needs both, or neither")
