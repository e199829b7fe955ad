"""What sign-in by OpenID Connect will still lack as the file stands."""

from __future__ import annotations

import os
from collections.abc import Iterator

from service.config.mistakes import KeyPath
from service.config.reader import LoadedSite


def openid_warnings(loaded: LoadedSite) -> Iterator[tuple[KeyPath, str]]:
    """Each with the key that it is about."""
    oidc = loaded.site.console.oidc
    if oidc is None or not loaded.site.console.enabled:
        return
    for key in ("client_secret_file", "ca_certificates"):
        written = getattr(oidc, key)
        if written is not None and not os.access(loaded.beside(written), os.R_OK):
            sentence = f"{written} cannot be read by this user; the console would not start"
            yield ("console", "oidc", key), sentence
    if "openid" not in oidc.scopes:
        yield ("console", "oidc", "scopes"), "lacks openid: the provider would not say who signs in"
