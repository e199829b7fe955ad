"""Whether each archive says what its way of retrieving needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.config.criteria import folded
from service.config.cross import Cross

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.config.document import Document
    from service.config.mistakes import KeyPath, Mistake
    from service.config.site import Site

_WAYS: Final = ("get", "move", "wado")


def archive_mistakes(document: Document) -> list[Mistake]:
    """What is missing or said twice in each archive."""
    cross = Cross(document)
    for name in cross.keys("archives"):
        _archive(cross, name)
    return cross.mistakes


def archive_warnings(site: Site) -> Iterator[tuple[KeyPath, str]]:
    """Archives that will be turned away when they send by C-MOVE, or that give a secret away."""
    own = {folded(title) for title in (site.node.ae_title, *site.node.also_called)}
    for name, archive in site.archives.items():
        if archive.retrieve == "move" and archive.arrives_as not in site.senders:
            sentence = f"sends what it is asked for by C-STORE; list {archive.arrives_as} under senders"
            yield ("archives", name, "retrieve"), sentence
        secret = archive.user or archive.token or archive.token_file
        if secret and (archive.url or "").startswith("http:"):
            yield (
                ("archives", name, "url"),
                "sends its secret where anybody on the way can read it",
            )
        if folded(archive.arrives_as) in own:
            yield ("archives", name, "ae_title"), "is the node's own AE title; give the archive another"


def _archive(cross: Cross, name: str) -> None:
    path = ("archives", name)
    keys = set(cross.keys(*path))
    way = cross.at(*path, "retrieve") or "get"
    if way not in _WAYS or not isinstance(cross.at(*path), dict):
        return  # said elsewhere
    needed = {"url"} if way == "wado" else {"host", "port"}
    for key in sorted(needed - keys):
        cross.say(path, f"retrieves by {way} and lacks `{key}`")
    if way != "move":
        for key in sorted({"move_to", "stores_as"} & keys):
            cross.say((*path, key), f"means nothing with `retrieve: {way}`; remove it, or retrieve by move")
    for one, other in (("password", "password_file"), ("token", "token_file")):
        if {one, other} <= keys:
            cross.say(path, f"has both {one} and {other}; keep one")
    if keys & {"password", "password_file"} and "user" not in keys:
        cross.say(path, "has a password and no `user`")
    if keys & {"token", "token_file"} and "user" in keys:
        cross.say(path, "has both a user and a token; keep one")
