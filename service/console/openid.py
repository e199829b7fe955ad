"""Sign-in by OpenID Connect Core 1.0: authorization code with PKCE, state and nonce, all of it Authlib's.

Between leaving and coming back the browser keeps what belongs to its own sign-in (state, nonce, verifier),
encrypted for this process, so that nothing piles up here however many begin and never return.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client.sync_app import BaseApp, OAuth2Mixin
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from authlib.integrations.requests_client import OAuth2Session
from cryptography.fernet import Fernet, InvalidToken
from joserfc.errors import JoseError
from requests import RequestException

from service.backlog.roles import Role
from service.console.refusals import ConsoleRefused
from service.log import EventLog

if TYPE_CHECKING:
    from pathlib import Path

    from service.config.openid_section import OpenIdSection

RETURN_PATH: Final = "/sign-in/oidc/return"
KEPT_SECONDS: Final = 600
"""How long a person may take at the provider."""

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures by the provider's private key; one by the client's secret, or none, says nothing."""

_METADATA_SECONDS: Final = 3600.0
_LEEWAY_SECONDS: Final = 60
_TIMEOUT_SECONDS: Final = 10.0
_INVALID: Final = (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError, RuntimeError)
_log = EventLog("console")


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider vouches for, and what they may do here."""

    name: str
    role: Role


class OpenIdRefused(ConsoleRefused):
    """This sign-in comes to nothing; ``name`` is what the provider called the person, if it came so far."""

    def __init__(self, status: int, code: str, sentence: str, name: str | None = None) -> None:
        super().__init__(status, code, sentence)
        self.name = name


class _Provider(OAuth2Mixin, OpenIDMixin, BaseApp):  # type: ignore[misc]
    client_cls = OAuth2Session


class OpenId:
    """The provider that the configuration names.

    Args:
        settings: of the configuration.
        secret: the client's; None for a public client.
        authorities: PEM file that the provider's certificate is checked by; None for the usual ones.
    """

    def __init__(self, settings: OpenIdSection, secret: str | None, authorities: Path | None = None) -> None:
        self._settings = settings
        self._secret = secret
        self._authorities = authorities
        self._fernet = Fernet(Fernet.generate_key())
        self._lock = threading.Lock()
        self._known: tuple[float, _Provider] | None = None
        self.return_address = settings.address.rstrip("/") + RETURN_PATH

    def begin(self) -> tuple[str, str]:
        """Where the browser goes, and what it keeps meanwhile.

        Raises:
            OpenIdRefused: the provider does not answer, or not as one.
        """
        with _sentences():
            begun = self._provider().create_authorization_url(self.return_address)
        kept = {key: begun[key] for key in ("state", "nonce", "code_verifier")}
        return str(begun["url"]), self._fernet.encrypt(json.dumps(kept).encode()).decode("ascii")

    def finish(self, kept: str, answer: Mapping[str, str]) -> Person:
        """Who has come back.

        Args:
            kept: what the browser kept.
            answer: parameters of the address that the provider sent it to.

        Raises:
            OpenIdRefused: it is another sign-in's answer, the provider refused, what it says is not valid,
                or the person has no role here.
        """
        own = self._own(kept)
        if not hmac.compare_digest(answer.get("state", "").encode(), str(own["state"]).encode()):
            raise _not_this_sign_in()
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise _not_this_sign_in()
        if "error" in answer or not answer.get("code"):
            sentence = "The sign-in service did not let you in. Try again, or ask its administrator."
            raise OpenIdRefused(403, "console.oidc-refused", sentence)
        with _sentences():
            provider = self._provider()
            token = provider.fetch_access_token(
                self.return_address, code=answer["code"], code_verifier=own["code_verifier"]
            )
            claims = self._claims(provider, token, str(own["nonce"]))
        return self._person(claims)

    def _own(self, kept: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._fernet.decrypt(kept.encode(), ttl=KEPT_SECONDS))
        except InvalidToken:
            raise _not_this_sign_in() from None
        return found

    def _claims(self, provider: _Provider, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        options = {
            "iss": {"essential": True, "value": self._settings.issuer},
            "aud": {"essential": True, "value": self._settings.client_id},
        }
        claims = provider.parse_id_token(token, nonce, claims_options=options, leeway=_LEEWAY_SECONDS)
        if claims is None:
            raise ValueError
        wanted = (self._settings.role_claim, self._settings.name_claim)
        known: dict[str, Any] = dict(claims)
        is_missing = any(_claim(known, name) is None for name in wanted)
        if is_missing and "userinfo_endpoint" in provider.server_metadata:
            more = dict(provider.userinfo(token=token))
            if more.get("sub") != known["sub"]:  # OpenID Connect Core 5.3.2
                raise ValueError
            known = more | known
        return known

    def _person(self, claims: Mapping[str, Any]) -> Person:
        name, said = _claim(claims, self._settings.name_claim), _claim(claims, self._settings.role_claim)
        if not isinstance(name, str) or not name:
            sentence = (
                f"The sign-in service does not say {self._settings.name_claim}: see console.oidc.name_claim."
            )
            raise OpenIdRefused(403, "console.oidc-no-name", sentence)
        values = said if isinstance(said, list) else [said]
        roles = self._settings.roles
        given = {Role(roles[each]) for each in values if isinstance(each, str) and each in roles}
        if not given:
            sentence = (
                "You are known, and in none of the groups that may use this console. Ask an administrator."
            )
            raise OpenIdRefused(403, "console.oidc-no-role", sentence, name)
        return Person(name, max(given, key=list(Role).index))

    def _provider(self) -> _Provider:
        """With what it says of itself, which is asked for anew now and then."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > _METADATA_SECONDS:
                self._known = (time.monotonic(), self._asked())
            return self._known[1]

    def _asked(self) -> _Provider:
        settings = self._settings
        client: dict[str, Any] = {
            "scope": " ".join(settings.scopes),
            "code_challenge_method": "S256",
            "default_timeout": _TIMEOUT_SECONDS,
            "leeway": 0,  # of the access token, which is used at once and may be short-lived
        }
        if self._authorities is not None:
            client["verify"] = str(self._authorities)
        if self._secret is None:
            client["token_endpoint_auth_method"] = "none"  # noqa: S105 - no secret at all
        provider = _Provider(
            None,
            client_id=settings.client_id,
            client_secret=self._secret,
            client_kwargs=client,
            server_metadata_url=settings.issuer.rstrip("/") + "/.well-known/openid-configuration",
        )
        metadata = provider.load_server_metadata()
        offered = metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        taken = [each for each in offered if each in ALGORITHMS]
        if metadata.get("issuer") != settings.issuer or not taken:  # Discovery 1.0, section 4.3
            raise ValueError
        metadata["id_token_signing_alg_values_supported"] = taken
        return provider


class _sentences:
    """What Authlib raises as refusals with a sentence; its own texts may hold what the provider sent."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, RequestException):
            _log.warning("console.oidc-unavailable", type=type(error).__name__)
            sentence = "The sign-in service does not answer. Try again shortly, or sign in with a password."
            raise OpenIdRefused(503, "console.oidc-unavailable", sentence) from None
        if isinstance(error, _INVALID):
            _log.failure("console.oidc-answer-invalid", error)
            sentence = (
                "What the sign-in service answered is not valid. An administrator finds more in the log."
            )
            raise OpenIdRefused(403, "console.oidc-answer-invalid", sentence) from None


def _not_this_sign_in() -> OpenIdRefused:
    sentence = "This answer belongs to no sign-in of this browser, or it took too long. Begin again."
    return OpenIdRefused(403, "console.oidc-not-this-sign-in", sentence)


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """By its whole name, else along its dots."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
