"""What will not work of the ways and objects of destinations, found without starting anything."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from service.config.mistakes import KeyPath
from service.config.output_objects import PICTURES

if TYPE_CHECKING:
    from service.config.dicomweb_section import DicomWeb
    from service.config.reader import LoadedSite

_Said = Iterator[tuple[KeyPath, str]]


def output_warnings(loaded: LoadedSite) -> _Said:
    """Folders that are not there, previews that cannot be drawn, secrets that cannot be read or are shown."""
    for name, at in loaded.site.destinations.items():
        path = ("destinations", name)
        if at.folder is not None and not os.access(loaded.beside(at.folder), os.W_OK | os.X_OK):
            sentence = "is not there or cannot be written by this user; make or mount it"
            yield (*path, "folder"), f"{at.folder} {sentence}"
        if PICTURES & set(at.kinds) and importlib.util.find_spec("matplotlib") is None:
            yield (*path, "objects"), "previews need matplotlib: pip install delineate[pictures]"
        if at.dicomweb is not None:
            yield from _of_service(loaded, (*path, "dicomweb"), at.dicomweb)


def _of_service(loaded: LoadedSite, path: KeyPath, web: DicomWeb) -> _Said:
    if web.url.startswith("http://") and (web.user or web.token or web.token_file):
        yield path, "signs in without TLS: the secret crosses the network in the clear; use https"
    for key in ("token_file", "password_file"):
        written = getattr(web, key)
        if written is not None and not os.access(loaded.beside(written), os.R_OK):
            yield (*path, key), "cannot be read by this user; nothing would be sent"
    for key in ("token", "password"):
        named = getattr(web, key)
        if named is not None and named[2:-1] not in os.environ:
            yield (*path, key), "names an environment variable that is not set here; nothing would be sent"
