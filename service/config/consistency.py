"""Whether the sections fit one another: names that are used and not declared, names that are used twice.

Works on the file's tree, not on the validated site, so that a mistake in one key does not hide the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from models.sides import side_in_words
from service.config.criteria import AE_KEYS, CriterionInvalid, check_keyword, folded, read_entry
from service.config.cross import Cross
from service.config.document import Document
from service.config.mistakes import KeyPath, Mistake, did_you_mean, listed
from service.config.output_checks import check_outputs
from service.config.plain_text import EMPTY, truth
from service.config.schema import allowed_at
from service.config.tps_profile import BUILT_IN
from service.config.yaml_traps import comment_hint

SENDER: Final = "sender"
_WILDCARDS: Final = frozenset("*?")


def cross_mistakes(document: Document) -> list[Mistake]:
    """Every mistake between sections."""
    cross = Cross(document)
    _ae_titles(cross)
    _destinations(cross)
    check_outputs(cross)
    _transport_security(cross)
    _certificate(cross)
    _profiles(cross)
    cross.same(((("protocols", name), name) for name in cross.keys("protocols")), "the same name as")
    cross.same(_route_names(cross), "the name of the route")
    for route in cross.indices("routes"):
        _references(cross, route)
        for part in ("when", "unless"):
            for keyword in cross.keys("routes", route, part):
                _criterion(cross, ("routes", route, part, keyword))
    _evaluation(cross)
    return cross.mistakes


def _evaluation(cross: Cross) -> None:
    """Only what is a destination can be asked, and no synonym is on the other side."""
    names = cross.keys("destinations")
    for path, name in cross.texts("evaluation", "query", "destinations"):
        if name not in names:
            cross.say(path, f"found '{name}', no destination; allowed: {listed(names)}")
    for structure in cross.keys("evaluation", "synonyms"):
        for path, name in cross.texts("evaluation", "synonyms", structure):
            if {side_in_words(structure), side_in_words(name)} == {"left", "right"}:
                cross.say(
                    path, f"'{name}' says the other side than {structure}; allowed: names of its own side"
                )


def _certificate(cross: Cross) -> None:
    """A certificate is of no use without its key."""
    for one, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
        if cross.at("console", one) and not cross.at("console", other):
            cross.say(("console", one), f"needs {other} beside it; allowed: both or neither")


def _route_names(cross: Cross) -> Iterator[tuple[KeyPath, str]]:
    for route in cross.indices("routes"):
        yield from cross.texts("routes", route, "name")


def _ae_titles(cross: Cross) -> None:
    """Two names for one peer cannot be told apart when a CT arrives."""
    cross.same(((("senders", title), title) for title in cross.keys("senders")), "the same AE title as")
    own = [*cross.texts("node", "ae_title"), *cross.texts("node", "also_called")]
    cross.same(iter(own), "the same AE title as")


def _destinations(cross: Cross) -> None:
    names = cross.keys("destinations")
    cross.same(((("destinations", name), name) for name in names), "the same name as")
    peers: dict[tuple[str, ...], str] = {}
    for name in names:
        if folded(name) == SENDER:
            cross.say(("destinations", name), "`sender` means the peer that sent the CT; choose another name")
        keys = ("ae_title", "host", "port")
        peer: tuple[str, ...] = tuple(folded(str(cross.at("destinations", name, key))) for key in keys)
        if "none" in peer:
            place = cross.at("destinations", name, "folder") or cross.at(
                "destinations", name, "dicomweb", "url"
            )
            peer = (str(place),)
        if peers.setdefault(peer, name) != name and peer != ("None",):
            sentence = (
                f"is the same peer as {peers[peer]}, which would get every set twice; keep one of the two"
            )
            cross.say(("destinations", name), sentence)


def _transport_security(cross: Cross) -> None:
    """A certificate needs its key, a peer somebody to be trusted by, and a closed plain port another one."""
    server = cross.at("node", "tls")
    if cross.at("node", "plain_port") == "off" and server is None:
        cross.say(("node", "plain_port"), "closes the only port there is; set node.tls, or write `on`")
    if isinstance(server, dict):
        _passphrase(cross, ("node", "tls"))
        lax = truth(server.get("require_client_certificate")) is False
        if not lax and "trusted_certificates" not in server:
            sentence = "says nobody whom senders are trusted by; set trusted_certificates"
            cross.say(("node", "tls"), f"{sentence}, or require_client_certificate: false")
    for title in cross.keys("senders"):
        for key in ("certificate_names", "certificate_fingerprints"):
            if server is None and key in cross.keys("senders", title):
                cross.say(("senders", title, key), "needs a port with TLS to be seen at; set node.tls")
    peers = ("senders", "destinations", "archives")
    for path in [(section, name, "tls") for section in peers for name in cross.keys(section)]:
        if isinstance(cross.at(*path), dict):
            _client_tls(cross, path)


def _client_tls(cross: Cross, path: tuple[str, str, str]) -> None:
    keys = cross.keys(*path)
    _passphrase(cross, path)
    if ("certificate" in keys) != ("key" in keys):
        cross.say(path, "has one of certificate and key; it needs both, or neither")
    if "trusted_certificates" not in keys and "fingerprints" not in keys:
        cross.say(path, "would trust anybody; set trusted_certificates or fingerprints")


def _passphrase(cross: Cross, path: tuple[str, ...]) -> None:
    if {"passphrase", "passphrase_file"} <= set(cross.keys(*path)):
        cross.say(path, "has both passphrase and passphrase_file; keep one")


def _profiles(cross: Cross) -> None:
    """A profile that a peer names is one that ships or one of this file's, which have names of their own."""
    own = cross.keys("profiles")
    cross.same(((("profiles", name), name) for name in own), "the same name as")
    for name in own:
        if folded(name) in BUILT_IN:
            cross.say(("profiles", name), f"'{name}' ships with the program; choose another name")
    known = [*BUILT_IN, *own]
    for section in ("destinations", "senders"):
        for peer in cross.keys(section):
            path: KeyPath = (section, peer, "profile")
            for _, name in cross.texts(*path):
                if name not in known:
                    near = did_you_mean(name, known)
                    cross.say(path, f"found '{name}', which is no profile{near}; allowed: {listed(known)}")


def _references(cross: Cross, route: int) -> None:
    """A route's protocols and destinations must be declared, each named once."""
    protocols, destinations = cross.keys("protocols"), [*cross.keys("destinations"), SENDER]
    for key, names in (("contour", protocols), ("send_to", destinations)):
        seen: set[str] = set()
        for path, name in cross.texts("routes", route, key):
            if name not in names:
                kind = "protocol" if key == "contour" else "destination"
                near = did_you_mean(name, names)
                cross.say(
                    path, f"found '{name}', which is no {kind} of this file{near}; allowed: {listed(names)}"
                )
            elif name in seen:
                cross.say(path, f"names {name} twice; keep it once")
            seen.add(name)
    if cross.at("routes", route, "contour") == []:
        cross.say(("routes", route, "contour"), f"names no protocol; allowed: {listed(protocols)}")


def _criterion(cross: Cross, path: KeyPath) -> None:
    keyword = str(path[-1])
    try:
        check_keyword(keyword)
    except CriterionInvalid as error:
        cross.say(path, str(error))
        return
    value = cross.at(*path)
    entries = [(path, value)]
    if isinstance(value, list):
        entries = [((*path, index), item) for index, item in enumerate(value)]
        if not entries:
            cross.say(path, f"found an empty list, which matches nothing; allowed: {allowed_at(path)}")
    for where, entry in entries:
        if isinstance(entry, str):
            _text_entry(cross, where, keyword, entry)
        elif not _is_presence(entry):
            found = "nothing" if entry is EMPTY else "a list or section"
            hint = _comment_hint(cross.document, where) if entry is EMPTY else ""
            cross.say(where, f"found {found}{hint}; allowed: {allowed_at(path)}")


def _text_entry(cross: Cross, path: KeyPath, keyword: str, text: str) -> None:
    try:
        read_entry(keyword, text)
    except CriterionInvalid as error:
        cross.say(path, str(error))
        return
    if keyword not in AE_KEYS or _WILDCARDS & set(text):
        return
    title = text.strip().removeprefix("!").strip()
    own = keyword == "called_ae"
    names = _called_names(cross) if own else [*cross.keys("senders"), *_archive_titles(cross)]
    if folded(title) not in {folded(name) for name in names}:
        whose = "none of the node's AE titles (ae_title, also_called)" if own else "no sender of this file"
        near = did_you_mean(title, names)
        cross.say(path, f"found '{title}', which is {whose}{near}; allowed: {listed(names)}")


def _called_names(cross: Cross) -> list[str]:
    own = cross.at("node", "ae_title")
    named = [own if isinstance(own, str) else "DELINEATE"]
    return named + [title for _, title in cross.texts("node", "also_called")]


def _archive_titles(cross: Cross) -> list[str]:
    archives = cross.keys("archives")
    return [title for name in archives for _, title in cross.texts("archives", name, "ae_title")]


def _is_presence(entry: object) -> bool:
    return isinstance(entry, dict) and entry.keys() == {"absent"} and isinstance(truth(entry["absent"]), bool)


def _comment_hint(document: Document, path: KeyPath) -> str:
    """What an administrator may have meant who wrote an unquoted ``#``."""
    _, sign, comment = document.source_at(path).partition(" #")
    return comment_hint(comment) if sign else ""
